/** Which members an operation may go to. */

export type ReadPreferenceMode =
  | 'primary'
  | 'primaryPreferred'
  | 'secondary'
  | 'secondaryPreferred'
  | 'nearest';

/** A mode alone, or with tag sets and a bound of staleness. */
export type ReadPreference =
  | ReadPreferenceMode
  | {
      mode: ReadPreferenceMode;
      tags?: Record<string, string>[];
      maxStalenessSeconds?: number;
    };

/** The document in which a read preference crosses the wasm border. */
export function readPreferenceDocument(preference: ReadPreference): object {
  return typeof preference === 'string' ? { mode: preference } : preference;
}
