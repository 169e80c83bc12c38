import { needless, unsaid } from './common.ts';
import { type Asked, collector, type Setting } from './settings.ts';
import { plainLines } from './text.ts';
import { wordsOf, plain } from './words.ts';

/**
 * Files of `distrobox assemble`: distrobox-assemble(1). Each section is a container; one stands for nearly all of the host: its display, its
 * sound, its devices, its network and the home. A machine has of that what is said, so it is said.
 */

/** A section, with the settings of its container. */
export interface Box {
  name: string;
  settings: Setting[];
}

/** Suites of Debian by the names that images have, and of Ubuntu by its numbers. */
const suites: Record<string, string> = { latest: 'stable', '11': 'bullseye', '12': 'bookworm', '13': 'trixie' };

export function readDistrobox(text: string, file: string): Box[] {
  const boxes: Box[] = [];
  let add: ReturnType<typeof collector>['add'] | null = null;
  let before: { line: number; shown: string }[] = [];
  const shares = new Set<string>();
  const finish = (box: Box | undefined) => {
    if (box) box.settings.push(...sharing(shares, box.settings[0]?.at ?? { file, line: 1 }, box.name));
    shares.clear();
  };
  for (const [i, raw] of plainLines(text).entries()) {
    const shown = raw.trim();
    const section = /^\[([^\]]+)\]/.exec(shown)?.[1]?.trim();
    if (shown === '' || shown.startsWith('#')) continue;
    if (section !== undefined) {
      finish(boxes.at(-1));
      const made = collector(file);
      add = made.add;
      boxes.push({ name: section, settings: made.settings });
      add(i + 1, shown, { what: 'name', name: section });
      continue;
    }
    const equals = shown.indexOf('=');
    const key = shown.slice(0, Math.max(equals, 0)).trim();
    // Values are words of a shell, a comment may stand behind them.
    const value = wordsOf(shown.slice(equals + 1)).map((word) => plain(word) ?? '').join(' ');
    if (!add) before.push({ line: i + 1, shown });
    else if (equals < 1) add(i + 1, shown, unsaid('is no setting of distrobox'));
    else for (const asked of asks(key, value, shares)) add(i + 1, shown, asked);
  }
  finish(boxes.at(-1));
  const first = boxes[0];
  if (first) for (const { line, shown } of before) first.settings.push({ ...unsaid('stands before the first container'), at: { file, line }, text: shown });
  before = [];
  return boxes;
}

function asks(key: string, value: string, shares: Set<string>): Asked[] {
  const on = value === 'true' || value === '1';
  const words = value.split(/\s+/).filter((word) => word !== '');
  switch (key) {
    case 'image': return imageOf(value);
    case 'clone': return [{ what: 'root', kind: 'clone', path: value }];
    case 'hostname': return [{ what: 'hostname', name: value }];
    case 'init': return on ? [{ what: 'boot', value: true }] : [needless('so it is unless it is said otherwise')];
    case 'nvidia': return on ? [{ what: 'grant', topic: 'gpu', kind: 'nvidia', options: {} }] : [needless('so it is unless it is said otherwise')];
    case 'additional_packages': return words.length > 0 ? [{ what: 'root', kind: 'debian', path: '', packages: words }] : [];
    case 'volume': return words.flatMap((word) => volumeOf(word));
    case 'home': shares.add('home'); return [{ what: 'bind', from: value, to: value, write: true, optional: false, options: [] }];
    case 'entry': case 'pull': case 'replace': case 'start_now': case 'always_pull': case 'generate_entry': return [needless('a machine is made when it is first needed')];
    case 'root': return [needless(on ? 'nestbox always asks for root where it needs it' : 'root inside is nobody on the host, whoever starts the machine')];
    case 'exported_apps': case 'exported_bins': case 'exported_bins_path': return [unsaid('programs in the menu of the host are not said in a machine file')];
    case 'init_hooks': case 'pre_init_hooks': return [unsaid('commands that are run inside at the first start: nestbox exec --root NAME -- PROGRAM runs them once')];
    case 'additional_flags': return flagsOf(words);
    case 'unshare_netns': case 'unshare_ipc': case 'unshare_process': case 'unshare_devsys': case 'unshare_groups': case 'unshare_all':
      if (on) shares.add(key);
      return on && key === 'unshare_netns' ? [] : [needless('processes, memory and devices of the host are not seen in a machine in any case')];
    case 'include': return [unsaid('what another section says is not taken over')];
    default: return [unsaid('distrobox has no such key that nestbox knows of')];
  }
}

/** FROM:TO[:OPTIONS] of podman-create(1). */
function volumeOf(text: string): Asked[] {
  const [from = '', to = from, options = ''] = text.split(':');
  return from.startsWith('/') || from.startsWith('~') ? [{ what: 'bind', from, to: to.startsWith('~') ? from : to, write: !options.split(',').includes('ro'), optional: false, options: [] }] : [unsaid('a volume of podman or Docker: files = [...] shows a folder')];
}

/** Options of podman-create(1) that have a word. */
function flagsOf(words: readonly string[]): Asked[] {
  const asked: Asked[] = [];
  for (let i = 0; i < words.length; i++) {
    const [, name = '', given] = /^(--?[\w-]+)(?:=(.*))?$/.exec(words[i]!) ?? [];
    const value = given ?? (/^(-e|-v|-p|--(env|volume|publish|device|memory|cpus|hostname|cap-add|network))$/.test(name) ? words[++i] ?? '' : '');
    if (name === '--env' || name === '-e') asked.push({ what: 'variable', name: value.split('=')[0]!, value: value.includes('=') ? value.slice(value.indexOf('=') + 1) : null });
    else if (name === '--volume' || name === '-v') asked.push(...volumeOf(value));
    else if (name === '--device') asked.push({ what: 'device', name: value.split(':')[0]!, rights: 'rw', allow: true });
    else asked.push(unsaid(`${words[i]}: an option of podman or Docker for which there is no word`));
  }
  return asked;
}

/** REGISTRY/NAME:TAG of a container image. */
function imageOf(text: string): Asked[] {
  const [, name = '', tag = 'latest'] = /^(?:.*\/)?([^/:@]+)(?::([^@]+))?(?:@.*)?$/.exec(text) ?? [];
  const version = tag.replace(/[-.].*/, '');
  const suite = Object.hasOwn(suites, version) ? suites[version]! : tag.replace(/-.*/, '');
  if (/^debian(-toolbox)?$/.test(name)) return [{ what: 'root', kind: 'debian', path: suite }];
  if (/^arch(linux)?(-toolbox)?$/.test(name)) return [{ what: 'root', kind: 'arch', path: '' }];
  return [unsaid(`images of registries are not read: podman create --name x ${text} and podman export x make an archive, [root] tar = "..." unpacks it`)];
}

/** What a container of distrobox sees of the host without a word, and the smaller word of a machine file. */
function sharing(shares: ReadonlySet<string>, at: { file: string; line: number }, name: string): Setting[] {
  const all = shares.has('unshare_all');
  const asked: Asked[] = [
    { what: 'network', kind: all || shares.has('unshare_netns') ? 'none' : 'host', bridge: null, address: null, gateway: null },
    { what: 'grant', topic: 'display', kind: 'x11', options: {} },
    { what: 'grant', topic: 'audio', kind: 'pulse', options: {} },
    ...(all || shares.has('unshare_devsys') ? [] : [{ what: 'grant' as const, topic: 'gpu', kind: 'card', options: {} }]),
    ...(shares.has('home') ? [] : [{ what: 'bind' as const, from: '~', to: '~', write: true, optional: false, options: [] }]),
    unsaid("the person's account is not made by itself: user = \"...\" makes one, and runs the program as it"),
  ];
  return asked.map((one) => ({ ...one, at, text: `[${name}]` }));
}
