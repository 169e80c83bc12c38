import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { must } from './measure.ts';

/** Hosts with many machines, laid out in a folder, to be mounted over the places where nestbox looks. */

/** What is mounted where; the folders are beside one another in a world. All of /run, as other nestboxes take /run/nestbox away with their last machine, and what is mounted there goes with it. */
export const places = { lib: '/var/lib/nestbox', files: '/etc/nestbox', run: '/run', foreign: '/etc/systemd/nspawn' } as const;

/** What a machine's file says besides: of ten, one has ports, one a terminal, one a sound card of its own, and the others have a screen and sound. */
const kinds = (i: number): string => {
  switch (i % 10) {
    case 0: return `[network.private]\nports = ["${10_000 + i}:80"]\n`;
    case 1: return 'boot = true\ndisplay = "vt"\nnetwork = "none"\n';
    case 2: return 'audio = "alsa"\nnetwork = "none"\n';
    default: return 'user = "someone"\naudio = "playback"\ndisplay = "headless"\nnetwork = "none"\nfiles = ["/usr/share/doc"]\n';
  }
};

export const nameOf = (i: number): string => `bench-${String(i).padStart(4, '0')}`;

/**
 * A host with `count` machines in `folder`, and for each ten of them a file of systemd-nspawn's own. One in ten runs, one half by `nestbox run` and one half by systemd: simulated, by what nestbox and systemd
 * would have written down and the number of a process that sleeps, of which `sleepers` has as many as run.
 */
export function layOut(folder: string, count: number, root: string, sleepers: readonly number[]): void {
  for (const name of Object.keys(places)) mkdirSync(`${folder}/${name}`, { recursive: true });
  for (const name of ['nestbox', 'systemd/machines', 'user']) mkdirSync(`${folder}/run/${name}`, { recursive: true });
  for (const name of ['machines', 'services', 'journal', 'scratch', 'templates']) mkdirSync(`${folder}/lib/${name}`);
  for (let i = 0; i < count; i++) {
    const name = nameOf(i);
    const file = `${places.files}/${name}.toml`;
    const text = kinds(i);
    const [plain, tables] = text.startsWith('[') ? ['', text] : [text, ''];
    writeFileSync(`${folder}/files/${name}.toml`, `name = "${name}"\n${plain}${tables}\n[root]\ndirectory = "${root}"\n`);
    mkdirSync(`${folder}/lib/machines/${name}`);
    writeFileSync(`${folder}/lib/machines/${name}/machine.json`, JSON.stringify({ name, template: null, directory: root, shift: 0x40000000 + i * 0x10000, file }));
    if (i % 10 === 3) writeFileSync(`${folder}/foreign/other-${name}.nspawn`, '[Exec]\nBoot=yes\nPrivateUsers=yes\n[Files]\nBind=/srv\n');
    if (i % 10 !== 4) continue;
    const pid = sleepers[Math.floor(i / 10)]!;
    if (i % 20 === 4) {
      mkdirSync(`${folder}/run/nestbox/${name}`);
      writeFileSync(`${folder}/run/nestbox/${name}/state.json`, JSON.stringify({
        pid, started: 1_700_000_000_000, file, argv: ['sleep', '1000'], template: null, directory: root, display: { number: 100 + i, key: `/run/nestbox/${name}/display/server` }, terminal: null,
        inside: { user: 'someone', account: { uid: 1000, gid: 1000 }, shift: 0x40000000 + i * 0x10000, environment: {}, place: { kind: 'cgroup', folders: [] } },
      }));
    } else {
      mkdirSync(`${folder}/lib/services/${name}`);
      writeFileSync(`${folder}/lib/services/${name}/undo`, '');
      writeFileSync(`${folder}/run/systemd/machines/${name}`, `NAME=${name}\nLEADER=${pid}\n`);
      writeFileSync(`${folder}/run/systemd/machines/unit:systemd-nspawn@${name}.service`, '');
    }
  }
}

/** Folders that were made to mount on. */
const made: string[] = [];

/** Puts a world in place of the one before; in a mount namespace of our own. */
export function enter(folder: string, isFirst: boolean): void {
  for (const [name, at] of Object.entries(places)) {
    if (!isFirst) must(['umount', '--lazy', at]);
    else if (!existsSync(at)) {
      mkdirSync(at);
      made.push(at);
    }
    must(['mount', '--bind', `${folder}/${name}`, at]);
  }
}

export function leave(): void {
  for (const at of Object.values(places)) must(['umount', '--lazy', at]);
  for (const at of made) rmdirSync(at);
}
