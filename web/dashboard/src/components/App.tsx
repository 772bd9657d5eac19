/** The page: heading, chart, members, workbench and logbook. */
import { demoError } from '../model/demo';
import { config, failure, members, primary, topology } from '../model/state';
import { topologyWords } from '../model/words';
import { Chart } from './Chart';
import { EventLog } from './EventLog';
import { MemberCard } from './MemberCard';
import { Rose } from './Rose';
import { Workbench } from './Workbench';

export function App() {
  return (
    <>
      <Masthead />
      <main>
        {failure.value !== null && (
          <p class="notice" role="alert" data-testid="failure">
            {failure.value}
          </p>
        )}
        {demoError.value !== null && (
          <p class="notice" role="alert" data-testid="demo-error">
            {demoError.value}
          </p>
        )}
        <div class="layout">
          <div class="layout-chart">
            <section class="panel sea" aria-labelledby="chart-title">
              <Title />
              <Chart />
            </section>
            <ul class="cards" aria-label="Members">
              {members.value.map((member) => (
                <MemberCard key={member.address} member={member} />
              ))}
            </ul>
            <Workbench />
          </div>
          <EventLog />
        </div>
      </main>
    </>
  );
}

function Masthead() {
  return (
    <header class="masthead">
      <svg class="brand" viewBox="-16 -16 32 32" width="34" height="34" aria-hidden="true">
        <Rose radius={15} />
      </svg>
      <h1>Portolan</h1>
      {config.value !== null && (
        <p class="masthead-source">
          <code>{config.value.uri}</code>
          {config.value.kind !== null && <span class="stamp">{config.value.kind}</span>}
        </p>
      )}
    </header>
  );
}

function Title() {
  const current = topology.value;
  const type = current?.topologyType ?? 'Unknown';
  return (
    <header class="sea-title">
      <h2 id="chart-title" data-testid="topology" data-type={type}>
        {current?.setName !== undefined && <span class="set-name">{current.setName}</span>}
        {topologyWords(type)}
      </h2>
      <p role="status" data-testid="primary" data-address={primary.value?.address ?? ''}>
        {standing()}
      </p>
      {current?.compatibilityError !== undefined && (
        <p class="card-error">{current.compatibilityError}</p>
      )}
    </header>
  );
}

function standing(): string {
  const count = members.value.length;
  if (count === 0) return 'No member is known yet.';
  const reached = members.value.filter((member) => member.type !== 'Unknown').length;
  const fleet = `${reached} of ${count} ${count === 1 ? 'member answers' : 'members answer'}`;
  if (primary.value !== null) return `${fleet}; ${primary.value.address} is the primary.`;
  return `${fleet}.`;
}
