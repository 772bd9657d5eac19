/** Draws the page and starts its client. */
import { render } from 'preact';

import { App } from './components/App';
import { startFeed } from './feed';
import { now } from './model/state';
import './style/base.css';
import './style/chart.css';
import './style/parts.css';

const root = document.getElementById('app');
if (root === null) throw new Error('the page has no #app');
render(<App />, root);
setInterval(() => {
  now.value = Date.now();
}, 500);
void begin();

/** `?replay=NAME` draws a simulated deployment; only the development server has it. */
async function begin(): Promise<void> {
  if (import.meta.env.DEV) {
    const name = new URLSearchParams(location.search).get('replay');
    if (name !== null) {
      const { startReplay } = await import('./replay/feed');
      startReplay(name);
      return;
    }
  }
  await startFeed();
}
