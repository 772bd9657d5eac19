/** The bridge's demo mode: what can be done to the members of the real set behind it. */
import { signal } from '@preact/signals';

export type MemberState = 'running' | 'frozen' | 'stopped';
export type DemoAction = 'step-down' | 'freeze' | 'thaw' | 'kill' | 'restart';

export interface DemoMember {
  id: number;
  address: string;
  state: MemberState;
}

export const demoMembers = signal<ReadonlyMap<string, DemoMember>>(new Map());
/** The action under way, as "id/action". */
export const acting = signal<string | null>(null);
/** Whether the bridge answered the latest question about its members. */
export const demoAnswers = signal(true);
export const demoError = signal<string | null>(null);

const POLL_EVERY = 1500;

/** Reads the members' states now and then, as long as the page lives. */
export function watchDemo(): void {
  void refresh();
  setInterval(() => {
    if (document.visibilityState === 'visible') void refresh();
  }, POLL_EVERY);
}

/** Does `action` to a member; a refusal shows in {@link demoError}. */
export async function act(member: DemoMember, action: DemoAction): Promise<void> {
  acting.value = `${member.id}/${action}`;
  demoError.value = null;
  try {
    const response = await fetch(`demo/members/${member.id}/${action}`, {
      method: 'POST',
      // No form and no link of another page can send this type: the bridge insists on it.
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    if (!response.ok) demoError.value = `${action}: ${await refusal(response)}`;
  } catch {
    demoError.value = `${action}: the bridge does not answer`;
  }
  acting.value = null;
  await refresh();
}

async function refusal(response: Response): Promise<string> {
  try {
    const body = (await response.json()) as { error?: string };
    return body.error ?? response.statusText;
  } catch {
    return response.statusText;
  }
}

async function refresh(): Promise<void> {
  try {
    const response = await fetch('demo/members');
    demoAnswers.value = response.ok;
    if (!response.ok) return;
    const list = (await response.json()) as DemoMember[];
    demoMembers.value = new Map(list.map((member) => [member.address, member]));
  } catch {
    // The bridge is away: the chart shows it, and the next poll tries again.
    demoAnswers.value = false;
  }
}
