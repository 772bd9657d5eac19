/** The errors of this package: whose fault it was, the server's code, labels and reasons. */
import type { ServerType } from './event.js';

/** What kind of failure. */
export type ErrorKind =
  /** An argument that cannot be used; nothing was sent. */
  | 'invalidArgument'
  /** A connection string or options that cannot be used. */
  | 'options'
  /** DNS names no seeds. */
  | 'srv'
  /** No server suited in time; the message names each one and why. */
  | 'serverSelection'
  /** A connection broke, or could not be made. */
  | 'network'
  | 'tls'
  /** A server took longer than a limit. */
  | 'timeout'
  /** The operation did not end within its `timeoutMS`. */
  | 'operationTimeout'
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
  /** The operation's `AbortSignal` ended it. */
  | 'aborted'
  /** A kind that this version has no name for, or a failure of the module itself. */
  | 'internal';

/** Why a server was not chosen. */
export interface ServerReason {
  address: string;
  type: ServerType;
  suitable: boolean;
  /** The reason's name, for programs. */
  reason?: string;
  /** The reason in words. */
  explanation?: string;
}

/** The members of an error that crosses the wasm border. */
export interface ErrorFacts {
  message: string;
  kind: ErrorKind;
  code?: number | undefined;
  labels?: readonly string[];
  reasons?: readonly ServerReason[];
  hints?: readonly string[];
  cause?: unknown;
}

/** Any failure of Portolan. */
export class PortolanError extends Error {
  /** Whose fault. */
  readonly kind: ErrorKind;
  /** The server's error code, when a server answered with one. */
  readonly code: number | undefined;
  /** Error labels, such as `RetryableWriteError`. */
  readonly labels: readonly string[];
  /** When no server suited: every server, and why not. */
  readonly reasons: readonly ServerReason[];
  /** When no server suited: what is probably wrong. */
  readonly hints: readonly string[];

  constructor(facts: ErrorFacts) {
    super(facts.message, 'cause' in facts ? { cause: facts.cause } : undefined);
    this.name = 'PortolanError';
    this.kind = facts.kind;
    this.code = facts.code;
    this.labels = facts.labels ?? [];
    this.reasons = facts.reasons ?? [];
    this.hints = facts.hints ?? [];
  }

  /** Whether the error carries `label`. */
  hasLabel(label: string): boolean {
    return this.labels.includes(label);
  }
}

/** Something that cannot be used: an argument, an option, an address, a document. */
export class ArgumentError extends PortolanError {
  override readonly name: string = 'ArgumentError';
}
/** No server suited in time; `reasons` has each one. */
export class SelectionError extends PortolanError {
  override readonly name: string = 'SelectionError';
}
/** A connection broke, could not be made, or spoke nonsense. */
export class NetworkError extends PortolanError {
  override readonly name: string = 'NetworkError';
}
/** A limit of time was over. */
export class TimeoutError extends PortolanError {
  override readonly name: string = 'TimeoutError';
}
/** The client could not prove who it is, or a server who it is. */
export class AuthenticationError extends PortolanError {
  override readonly name: string = 'AuthenticationError';
}
/** A server refused the command, or some of its writes failed. */
export class ServerError extends PortolanError {
  override readonly name: string = 'ServerError';
}
/** The client was closed. */
export class ClosedError extends PortolanError {
  override readonly name: string = 'ClosedError';
}
/** The operation's `AbortSignal` ended it; `cause` is the signal's reason. */
export class AbortError extends PortolanError {
  override readonly name: string = 'AbortError';
}

const CLASSES: Record<ErrorKind, new (facts: ErrorFacts) => PortolanError> = {
  invalidArgument: ArgumentError,
  options: ArgumentError,
  srv: ArgumentError,
  bson: ArgumentError,
  serverSelection: SelectionError,
  network: NetworkError,
  tls: NetworkError,
  protocol: NetworkError,
  pool: NetworkError,
  timeout: TimeoutError,
  operationTimeout: TimeoutError,
  authentication: AuthenticationError,
  command: ServerError,
  write: ServerError,
  reply: ServerError,
  shutdown: ClosedError,
  aborted: AbortError,
  internal: PortolanError,
};

/** Makes a {@link PortolanError} of whatever the wasm module threw. */
export function toPortolanError(thrown: unknown): PortolanError {
  if (thrown instanceof PortolanError) return thrown;
  // A kind of a later module than this script is none of ours.
  if (isFacts(thrown)) return new (CLASSES[thrown.kind] ?? PortolanError)(thrown);
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new PortolanError({ message, kind: 'internal', cause: thrown });
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
