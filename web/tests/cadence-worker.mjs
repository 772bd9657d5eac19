/** Plays scenes in a worker: `{ id, call, arguments }` in, `{ id, value }` or `{ id, error }` out. */
import init, * as cadence from './portolan_cadence.js';

const ready = init();

addEventListener('message', async ({ data: { id, call, arguments: given } }) => {
  try {
    await ready;
    postMessage({ id, value: await cadence[call](...given) });
  } catch (error) {
    postMessage({ id, error: String(error) });
  }
});
