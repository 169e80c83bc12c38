import { Complaint, NeedsRoot } from '../errors.ts';
import type { Facts } from '../facts.ts';
import { forget } from '../host/fetched.ts';
import { forgetFilters } from '../host/filters.ts';
import { linux } from '../host/linux.ts';
import { openSession, readState, sessionNames } from '../host/session.ts';
import { probe } from '../probe.ts';
import { store } from '../store.ts';
import { note, sizeOf, table } from '../text.ts';
import { listed, nearest } from '../words.ts';

/** Folders of templates that are being removed: what a crash has left of them goes with the next ones. */
const doomed = '.pruned-';

/** What machines are made from: each template with its size and the machines that use it; `--prune` removes those that none does, or these of them. */
export default async function templates(keys: string[], { json, prune }: { json?: boolean; prune?: boolean }): Promise<number> {
  const facts = probe(process.env);
  if (!facts.root) throw new NeedsRoot('only root can look into templates', 'sudo nestbox templates');
  const known = facts.store.templates;
  for (const key of keys)
    if (!known.includes(key)) {
      const meant = nearest(key, known);
      throw new Complaint(`there is no template '${key}'`, meant ? `did you mean '${meant}'?` : 'nestbox templates lists them');
    }
  const host = linux(facts.programs, note);
  const running = prune ? await settled(facts) : sessionNames().sort();
  const rows: { key: string; bytes: number; usedBy: string[] }[] = [];
  for (const key of keys.length > 0 ? keys : known) {
    const { stdout } = await host.run(['du', '--summarize', '--one-file-system', '--block-size=1', `${store.templates}/${key}`]);
    const made = facts.store.machines.filter(({ template }) => template === key).map(({ name }) => name);
    rows.push({ key, bytes: Number.parseInt(stdout, 10), usedBy: [...new Set([...made, ...running.filter((name) => readState(name)?.template === key)])].sort() });
  }
  if (!prune) {
    if (json) console.log(JSON.stringify(rows, null, 2));
    else if (rows.length > 0) console.log(table([['TEMPLATE', 'SIZE', 'USED BY'], ...rows.map(({ key, bytes, usedBy }) => [key, sizeOf(bytes), usedBy.join(', ') || '-'])]));
    return 0;
  }
  const used = rows.filter(({ usedBy }) => usedBy.length > 0);
  if (keys.length > 0 && used.length > 0) throw new Complaint(used.map(({ key, usedBy }) => `the template '${key}' is used by ${listed(usedBy)}`).join('\n'), 'nestbox rm removes a machine');
  const unused = rows.filter((row) => !used.includes(row));
  const sweep = async () => {
    for (const name of await host.list(store.templates)) if (name.startsWith(doomed)) await host.removeTree(`${store.templates}/${name}`);
  };
  await sweep(); // one of the same key may have been built again since
  for (const { key } of unused) {
    await host.mustBeUnmounted(`${store.templates}/${key}`);
    // Gone for whoever looks for it, at once: nobody can begin to use what is left of it.
    await host.rename(`${store.templates}/${key}`, `${store.templates}/${doomed}${key}`);
  }
  await sweep();
  const bytes = keys.length === 0 ? forget() : 0;
  const filters = keys.length === 0 ? forgetFilters() : 0;
  if (json) console.log(JSON.stringify(unused, null, 2));
  else {
    for (const { key, bytes } of unused) note(`removed ${key} (${sizeOf(bytes)})`);
    if (bytes > 0) note(`removed the packages that were fetched for Debian roots (${sizeOf(bytes)})`);
    if (filters > 0) note(`removed system call filters that no start takes any more (${filters})`);
  }
  return 0;
}

/** The machines that run; complains about those of which nobody knows yet what they will use. */
async function settled({ programs }: Facts): Promise<string[]> {
  const host = linux(programs);
  const running: string[] = [];
  for (const name of new Set([...sessionNames(), ...await host.list(store.journals)])) {
    if (readState(name)) {
      running.push(name);
      continue;
    }
    const session = openSession(name, programs); // complains while it is being made
    const interrupted = await session.interrupted();
    session.close();
    if (interrupted) throw new Complaint(`a run of '${name}' was cut off, and has not been taken back`, `nestbox clean ${name}`);
  }
  return running;
}
