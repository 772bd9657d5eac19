/** What happened, newest first: filtered by group and text, each entry opens to its detail. */
import { computed, signal } from '@preact/signals';
import { useState } from 'preact/hooks';

import { type LogEntry, log, now, zeroAt } from '../model/state';
import { type EventGroup, age, groupOf, isAlarm, isWeighty, summary } from '../model/words';

const GROUPS: { group: EventGroup; label: string }[] = [
  { group: 'topology', label: 'Topology' },
  { group: 'server', label: 'Servers' },
  { group: 'detail', label: 'Details' },
  { group: 'heartbeat', label: 'Heartbeats' },
];

const SHOWN = 120;

const groups = signal<ReadonlySet<EventGroup>>(new Set<EventGroup>(['topology', 'server']));
const wanted = signal('');

const visible = computed(() => {
  const needle = wanted.value.trim().toLowerCase();
  return log.value.filter(
    (entry) =>
      (groups.value.has(groupOf(entry.event)) || (isAlarm(entry.event) && !entry.repeats)) &&
      (needle === '' || textOf(entry).includes(needle)),
  );
});

export function EventLog() {
  return (
    <section class="panel log" aria-labelledby="log-title">
      <header class="panel-head">
        <h2 id="log-title">Logbook</h2>
        <div class="filters" role="group" aria-label="Which events">
          {GROUPS.map(({ group, label }) => (
            <button
              key={group}
              type="button"
              class="chip"
              aria-pressed={groups.value.has(group)}
              onClick={() => toggle(group)}
            >
              {label}
            </button>
          ))}
        </div>
        <input
          class="search"
          type="search"
          placeholder="Filter by text"
          aria-label="Filter events by text"
          value={wanted.value}
          onInput={(event) => {
            wanted.value = event.currentTarget.value;
          }}
        />
      </header>
      <ol class="entries" tabIndex={0} aria-label="Events, newest first">
        {visible.value.slice(0, SHOWN).map((entry) => (
          <Entry key={entry.id} entry={entry} />
        ))}
        {visible.value.length === 0 && <li class="entries-empty">No event to show yet.</li>}
        {visible.value.length > SHOWN && (
          <li class="entries-empty">{visible.value.length - SHOWN} older entries not shown</li>
        )}
      </ol>
    </section>
  );
}

function toggle(group: EventGroup): void {
  const next = new Set(groups.value);
  if (!next.delete(group)) next.add(group);
  groups.value = next;
}

function textOf({ event }: LogEntry): string {
  const address = 'address' in event ? event.address : '';
  return `${event.kind} ${address} ${summary(event)}`.toLowerCase();
}

function Entry({ entry }: { entry: LogEntry }) {
  const [open, setOpen] = useState(false);
  const { event } = entry;
  const weight = isWeighty(event) ? ' entry-weighty' : '';
  const alarm = isAlarm(event) ? ' entry-alarm' : '';
  return (
    <li class={`entry entry-${groupOf(event)}${weight}${alarm}`} data-kind={event.kind}>
      <details onToggle={(toggled) => setOpen(toggled.currentTarget.open)}>
        <summary>
          <span class="entry-age">
            <Age at={event.t_ms} />
          </span>
          <span class="entry-text">
            <span class="entry-summary">{summary(event)}</span>
            <span class="entry-kind">
              {event.kind}
              {'address' in event ? ` · ${event.address}` : ''}
            </span>
          </span>
        </summary>
        {open && <pre tabIndex={0}>{JSON.stringify(event, null, 2)}</pre>}
      </details>
    </li>
  );
}

function Age({ at }: { at: number }) {
  return <>{age(now.value - (zeroAt.value + at))}</>;
}
