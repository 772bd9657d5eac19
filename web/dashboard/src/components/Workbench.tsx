/** A write and a read through the client, to see how they fare while members come and go. */
import { signal } from '@preact/signals';
import type { ReadPreferenceMode } from 'portolan';

import { operations } from '../feed';
import { type Attempt, attempts } from '../model/state';
import { duration } from '../model/words';

const MODES: ReadPreferenceMode[] = [
  'primary',
  'primaryPreferred',
  'secondary',
  'secondaryPreferred',
  'nearest',
];

const note = signal('Fair wind from the west');
const mode = signal<ReadPreferenceMode>('secondaryPreferred');

export function Workbench() {
  return (
    <section class="panel bench" aria-labelledby="bench-title">
      <header class="panel-head">
        <h2 id="bench-title">Workbench</h2>
        <p class="panel-note">
          collection <code>portolan.logbook</code>
        </p>
      </header>
      <div class="bench-forms">
        <form
          onSubmit={(event) => {
            event.preventDefault();
            operations.insert(note.value);
          }}
        >
          <label for="note">Note to write</label>
          <div class="field">
            <input
              id="note"
              value={note.value}
              autocomplete="off"
              onInput={(event) => {
                note.value = event.currentTarget.value;
              }}
            />
            <button type="submit" class="strong">
              Write
            </button>
          </div>
        </form>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            operations.read(mode.value);
          }}
        >
          <label for="mode">Read preference</label>
          <div class="field">
            <select
              id="mode"
              value={mode.value}
              onChange={(event) => {
                mode.value = event.currentTarget.value as ReadPreferenceMode;
              }}
            >
              {MODES.map((name) => (
                <option key={name} value={name}>
                  {name}
                </option>
              ))}
            </select>
            <button type="submit" class="strong">
              Read
            </button>
          </div>
        </form>
      </div>
      <ol class="attempts" aria-live="polite" aria-label="Results, newest first">
        {attempts.value.map((attempt) => (
          <AttemptRow key={attempt.id} attempt={attempt} />
        ))}
        {attempts.value.length === 0 && (
          <li class="entries-empty">Write a note, then read the newest five back.</li>
        )}
      </ol>
    </section>
  );
}

function AttemptRow({ attempt }: { attempt: Attempt }) {
  const { outcome } = attempt;
  const state = outcome === null ? 'pending' : outcome.ok ? 'done' : 'failed';
  return (
    <li
      class={`attempt attempt-${state}`}
      data-testid="attempt"
      data-attempt={attempt.id}
      data-state={state}
    >
      <p class="attempt-head">
        <span class="attempt-title">{attempt.title}</span>
        <span class="attempt-result">{result(attempt)}</span>
        <span class="attempt-time">{outcome === null ? '' : duration(outcome.durationMs)}</span>
      </p>
      {outcome?.ok === false && <p class="card-error">{outcome.message}</p>}
      {outcome?.ok === true && outcome.rows.length > 0 && (
        <pre tabIndex={0}>{outcome.rows.join('\n')}</pre>
      )}
    </li>
  );
}

function result({ outcome }: Attempt): string {
  if (outcome === null) return 'under way…';
  if (!outcome.ok) return `failed: ${outcome.kind}`;
  return outcome.server === null ? outcome.summary : `${outcome.summary} · ${outcome.server}`;
}
