/** One member in words: role, readings, tags, and in demo mode what can be done to it. */
import type { ServerDescription } from 'portolan';

import { type DemoAction, type DemoMember, act, acting, demoAnswers, demoMembers } from '../model/demo';
import { lag } from '../model/lag';
import { beats, histories, members, now, zeroAt } from '../model/state';
import { age, duration, isKnown, role } from '../model/words';
import { InlineMark } from './Mark';
import { Sparkline } from './Sparkline';

export function MemberCard({ member }: { member: ServerDescription }) {
  const failed = member.error !== undefined && !isKnown(member);
  const demo = demoMembers.value.get(member.address);
  const tags = Object.entries(member.tags);
  return (
    <li
      class={`card card-${member.type}`}
      data-testid="member"
      data-address={member.address}
      data-type={member.type}
    >
      <header class="card-head">
        <InlineMark type={member.type} failed={failed} />
        <div>
          <h3 class="card-role">{role(member.type)}</h3>
          <p class="card-address">{member.address}</p>
        </div>
        {demo !== undefined && demo.state !== 'running' && (
          <span class="stamp" data-testid="demo-state">
            {demo.state}
          </span>
        )}
      </header>
      <div class="card-readings">
        <dl>
          <div>
            <dt>round trip</dt>
            <dd>{member.roundTripTimeMs === null ? '–' : duration(member.roundTripTimeMs)}</dd>
          </div>
          <div>
            <dt>last heard</dt>
            <dd>
              <LastHeard member={member} />
            </dd>
          </div>
          {member.type === 'RSSecondary' && (
            <div>
              <dt>behind</dt>
              <dd data-testid="lag">{behind(member)}</dd>
            </div>
          )}
        </dl>
        <Sparkline history={histories.value.get(member.address)} />
      </div>
      {tags.length > 0 && (
        <ul class="tags" aria-label="Tags">
          {tags.map(([name, value]) => (
            <li key={name}>
              {name}: {value}
            </li>
          ))}
        </ul>
      )}
      {failed && <p class="card-error">{member.error}</p>}
      {member.suspect === true && (
        <p class="card-error" data-testid="suspect">
          does not answer: operations avoid it
        </p>
      )}
      {demo !== undefined && <DemoButtons demo={demo} type={member.type} />}
    </li>
  );
}

function LastHeard({ member }: { member: ServerDescription }) {
  const beat = beats.value.get(member.address);
  if (beat === undefined) return <>–</>;
  const elapsed = now.value - (zeroAt.value + beat.at);
  return <>{elapsed < 1000 ? 'just now' : `${age(elapsed)} ago`}</>;
}

function behind(member: ServerDescription): string {
  const elapsed = lag(member, members.value);
  if (elapsed === undefined) return '–';
  return elapsed < 1000 ? 'nothing' : age(elapsed);
}

const ACTIONS: { action: DemoAction; label: string }[] = [
  { action: 'step-down', label: 'Step down' },
  { action: 'freeze', label: 'Freeze' },
  { action: 'thaw', label: 'Thaw' },
  { action: 'kill', label: 'Kill' },
  { action: 'restart', label: 'Restart' },
];

function DemoButtons({ demo, type }: { demo: DemoMember; type: ServerDescription['type'] }) {
  const isBarred = acting.value !== null || !demoAnswers.value;
  return (
    <div class="actions" role="group" aria-label={`Do to ${demo.address}`}>
      {ACTIONS.map(({ action, label }) => (
        <button
          key={action}
          type="button"
          class={action === 'kill' ? 'danger' : undefined}
          disabled={isBarred || !isPossible(action, demo, type)}
          aria-busy={acting.value === `${demo.id}/${action}`}
          onClick={() => void act(demo, action)}
        >
          {label}
        </button>
      ))}
    </div>
  );
}

function isPossible(
  action: DemoAction,
  demo: DemoMember,
  type: ServerDescription['type'],
): boolean {
  switch (action) {
    case 'step-down':
      return demo.state === 'running' && type === 'RSPrimary';
    case 'freeze':
      return demo.state === 'running';
    case 'thaw':
      return demo.state === 'frozen';
    case 'kill':
      return demo.state !== 'stopped';
    case 'restart':
      return demo.state === 'stopped';
  }
}
