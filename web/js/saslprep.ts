/**
 * SASLprep (RFC 4013) of passwords that are not printable ASCII: the wasm module has no tables of
 * Unicode, which few passwords need and everyone would load.
 */
import type { ErrorFacts } from './error.js';

type Prepare = (password: string) => string;

/** What SCRAM-SHA-256 takes for `password`; rejects with `ErrorFacts`. */
export async function saslprep(password: string): Promise<string> {
  let prepare: Prepare;
  try {
    prepare = functionOf(await import('@mongodb-js/saslprep'));
  } catch (error) {
    throw refused(`the npm package @mongodb-js/saslprep was not loaded: ${String(error)}`);
  }
  try {
    return prepare(password);
  } catch {
    // The package's own text shows a character of the password.
    throw refused('it has characters that SASLprep (RFC 4013) prohibits, such as control characters');
  }
}

/** Bundlers wrap a CommonJS module once more than Node.js does. */
function functionOf(module: { default: Prepare | { default: Prepare } }): Prepare {
  return typeof module.default === 'function' ? module.default : module.default.default;
}

function refused(why: string): ErrorFacts {
  return { kind: 'authentication', message: `the password cannot be prepared: ${why}` };
}
