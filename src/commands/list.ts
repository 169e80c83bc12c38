import { readdirSync } from 'node:fs';
import { isHeld, readState, sessionNames } from '../host/session.ts';
import { isProgram, programFolders, readScreens, readStore } from '../probe.ts';
import { store } from '../store.ts';
import { lastTerminal } from '../terminals.ts';
import { table } from '../text.ts';

/** Every machine that is installed, made, or running. native/list.c says the same without Node, of what is as it usually is: a change here is one there. */
export default async function list(_: string[], { json }: { json?: boolean }): Promise<number> {
  // What is kept of the machines, and nothing else of the host. A folder is read once, and no file is looked for that is not there: that would be most of the time where there are many.
  const kept = readStore();
  const { machines, services } = kept;
  const screens = readScreens({ store: kept });
  const names = (folder: string, suffix = '') => {
    try {
      return readdirSync(folder).filter((name) => name.endsWith(suffix)).map((name) => name.slice(0, name.length - suffix.length));
    } catch {
      return [];
    }
  };
  const [runs, mounted] = [new Set(sessionNames()), new Set(names(store.scratches, '.kept'))];
  const all = [...new Set([...machines.map(({ name }) => name), ...names(store.files, '.toml'), ...[...runs].filter((name) => !name.includes('.')), ...services.map(({ name }) => name), ...mounted])].sort();
  const left = new Set(names(store.journals));
  const flock = left.size === 0 ? undefined : programFolders.map((folder) => `${folder}/flock`).find(isProgram);
  const byName = <T extends { name: string }>(some: readonly T[]) => new Map(some.map((one) => [one.name, one]));
  const [records, served, terminals] = [byName(machines), byName(services), byName(screens?.machines ?? [])];
  const rows = all.map((name) => {
    const record = records.get(name);
    const running = runs.has(name) ? readState(name) : null;
    const service = served.get(name) ?? null;
    return {
      name, state: running || service?.leader ? 'running' : left.has(name) ? (isHeld(name, flock) ? 'changing' : 'cut off') : mounted.has(name) ? 'mounted' : record ? 'ready' : 'not made', pid: running?.pid ?? service?.leader ?? null, service: service !== null, enabled: service?.enabled ?? false,
      terminal: terminals.get(name)?.number ?? null,
      root: record?.template ?? record?.volume?.path ?? record?.directory ?? null, file: running?.file ?? record?.file ?? `${store.files}/${name}.toml`,
    };
  });
  const screen = (terminal: number | null) => (terminal === null ? '-' : terminal === lastTerminal ? 'a seat' : `terminal ${terminal}${terminal === screens?.active ? ', visible' : ''}`);
  if (json) console.log(JSON.stringify(rows, null, 2));
  else if (rows.length > 0) console.log(table([['NAME', 'STATE', 'BY', 'SCREEN', 'ROOT', 'FILE'], ...rows.map(({ name, state, service, enabled, terminal, root, file }) => [name, state, service ? (enabled ? 'systemd, enabled' : 'systemd') : '-', screen(terminal), root ?? '-', file])]));
  return 0;
}
