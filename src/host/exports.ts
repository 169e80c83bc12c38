import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { attempt } from '../attempt.ts';
import { Complaint } from '../errors.ts';
import type { Person } from '../facts.ts';
import { entryOf, exportedName, iconPlace, isLauncherOf, launcherName, launcherOf, type Program } from '../desktop.ts';

/** The host's menu: of one person, or of all. */
export interface Menu {
  applications: string;
  icons: string;
  launchers: string;
}

export const menuOf = ({ home }: Pick<Person, 'home'>): Menu => ({ applications: `${home}/.local/share/applications`, icons: `${home}/.local/share/icons/hicolor`, launchers: `${home}/.local/bin` });
export const menuOfAll: Menu = { applications: '/usr/local/share/applications', icons: '/usr/local/share/icons/hicolor', launchers: '/usr/local/bin' };

/** From here on this process has the person's rights alone, so that no link of theirs leads a write of root's. There is no way back. */
export function become({ uid, gid }: Person): void {
  if (process.getuid!() !== 0 || uid === 0) return;
  process.setgroups!([gid]);
  process.setgid!(gid);
  process.setuid!(uid);
}

/** Ids of the programs of a machine that are in the menu. */
export function exportedOf(machine: string, { applications }: Menu): string[] {
  const prefix = `${exportedName(machine, '')}`;
  return attempt(() => readdirSync(applications), []).filter((name) => name.startsWith(prefix) && name.endsWith('.desktop')).map((name) => name.slice(prefix.length, -'.desktop'.length)).sort();
}

/** Puts a program into the menu; returns the paths of its files. */
export function exportProgram(machine: string, program: Program, icon: Uint8Array | null, nestbox: readonly string[], menu: Menu): string[] {
  const launcher = `${menu.launchers}/${launcherName(machine, program)}`;
  const there = attempt(() => readFileSync(launcher, 'utf8'), null);
  if (there !== null && !isLauncherOf(machine, there)) throw new Complaint(`${launcher} is there already, and is not nestbox's`, 'move it away, or give the machine another name');
  const place = icon && iconPlace(icon);
  const files: [path: string, data: string | Uint8Array, mode: number][] = [
    [launcher, launcherOf(machine, program, nestbox), 0o755],
    ...(place ? [[`${menu.icons}/${place.folder}/${exportedName(machine, program.id)}${place.end}`, icon, 0o644] as [string, Uint8Array, number]] : []),
    [`${menu.applications}/${exportedName(machine, program.id)}.desktop`, entryOf(machine, program, nestbox, place !== null), 0o644],
  ];
  for (const [path, data, mode] of files) {
    mkdirSync(path.slice(0, path.lastIndexOf('/')), { recursive: true });
    rmSync(path, { force: true }); // a link there is not followed
    writeFileSync(path, data, { mode, flag: 'wx' });
  }
  return files.map(([path]) => path);
}

/** Takes a program out of the menu, with all that was made for it. */
export function unexport(machine: string, id: string, menu: Menu): void {
  const name = exportedName(machine, id);
  rmSync(`${menu.applications}/${name}.desktop`, { force: true });
  for (const size of attempt(() => readdirSync(menu.icons), [])) for (const end of ['.png', '.svg']) rmSync(`${menu.icons}/${size}/apps/${name}${end}`, { force: true });
  const launcher = `${menu.launchers}/${launcherName(machine, { id })}`;
  if (isLauncherOf(machine, attempt(() => readFileSync(launcher, 'utf8'), ''))) rmSync(launcher, { force: true });
}
