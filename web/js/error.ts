/** The one error of this package: whose fault it was, the server's code, and its labels. */

/** What kind of failure. */
export type ErrorKind =
  /** An argument that cannot be used; nothing was sent. */
  | 'invalidArgument'
  /** A connection string or options that cannot be used. */
  | 'options'
  /** No server suited in time; the message names each one and why. */
  | 'serverSelection'
  /** A connection broke, or could not be made. */
  | 'network'
  | 'tls'
  /** A server took longer than a limit. */
  | 'timeout'
  /** A server sent what is no message of the protocol. */
  | 'protocol'
  /** The client could not prove who it is, or a server who it is. */
  | 'authentication'
  /** A server's connections were closed while the operation waited for one. */
  | 'pool'
  /** The server refused the command. */
  | 'command'
  /** The server ran the command, and some of its writes failed. */
  | 'write'
  /** The reply is not of the command's form. */
  | 'reply'
  /** A document that is no BSON, or cannot become it. */
  | 'bson'
  /** The client was closed. */
  | 'shutdown'
  /** A kind that this version has no name for, or a failure of the module itself. */
  | 'internal';

/** The members of an error that crosses the wasm border. */
export interface ErrorFacts {
  message: string;
  kind: ErrorKind;
  code?: number | undefined;
  labels?: readonly string[];
}

/** Any failure of Portolan. */
export class PortolanError extends Error {
  /** Whose fault. */
  readonly kind: ErrorKind;
  /** The server's error code, when a server answered with one. */
  readonly code: number | undefined;
  /** Error labels, such as `RetryableWriteError`. */
  readonly labels: readonly string[];

  constructor(facts: ErrorFacts) {
    super(facts.message);
    this.name = 'PortolanError';
    this.kind = facts.kind;
    this.code = facts.code;
    this.labels = facts.labels ?? [];
  }

  /** Whether the error carries `label`. */
  hasLabel(label: string): boolean {
    return this.labels.includes(label);
  }
}

/** Makes a {@link PortolanError} of whatever the wasm module threw. */
export function toPortolanError(thrown: unknown): PortolanError {
  if (thrown instanceof PortolanError) return thrown;
  if (isFacts(thrown)) return new PortolanError(thrown);
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new PortolanError({ message, kind: 'internal' });
}

/** Runs `work`; whatever it throws becomes a {@link PortolanError}. */
export async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    throw toPortolanError(thrown);
  }
}

function isFacts(value: unknown): value is ErrorFacts {
  return typeof value === 'object' && value !== null && 'kind' in value && 'message' in value;
}
