import { shown } from '../mistakes.ts';

/**
 * What files and commands of other programs ask for, in one neutral form: a reader of src/import/ makes it of a text, without
 * looking at any host and without running anything, and a machine file is written from it. Nothing in it has been checked.
 */

/** Where it was read; lines begin with 1. */
export interface Place {
  file: string;
  line: number;
}

/** One thing that was asked for. Of those that stand once, the last one counts; of the others, all of them. */
export type Asked =
  /** The name of the machine, as it was called there: `nestbox` may not take it as it is. */
  | { what: 'name'; name: string }
  | { what: 'hostname'; name: string }
  /** `path` is as it was written: it may be relative. host: the running system itself. */
  | { what: 'root'; kind: 'directory' | 'image' | 'volume' | 'luks' | 'clone' | 'host' | 'debian' | 'arch'; path: string; packages?: string[]; options?: Record<string, string | number | boolean> }
  | { what: 'ephemeral'; value: boolean }
  /** Whether the root's own init is started. */
  | { what: 'boot'; value: boolean }
  /** The program, or with `boot` the words that its init is given. */
  | { what: 'words'; words: string[] }
  | { what: 'user'; name: string }
  /** `value` null: that of whoever starts it. */
  | { what: 'variable'; name: string; value: string | null }
  /** host: root inside is root. shift: the files in the root have other owners, which are root's inside. `first`: of the ids that it was to have. */
  | { what: 'users'; ids: 'own' | 'host' | 'shift'; first: number | null }
  /** How a root gets the owners that fit: chown changes its files. */
  | { what: 'ownership'; how: 'chown' | 'map' | 'off' }
  /** CAP_...; all. `how` keep: no others than these. */
  | { what: 'capabilities'; how: 'add' | 'drop' | 'keep'; names: string[] }
  /** With ~ before them those that are refused. */
  | { what: 'syscalls'; names: string[] }
  /** A file, folder, socket or device node of the host. `options` as they were written, such as rootidmap. */
  | { what: 'bind'; from: string; to: string; write: boolean; optional: boolean; options: string[] }
  /** Whether a device may be opened. `name`: a path below /dev, a class such as char-drm or char-*, or TYPE MAJOR:MINOR such as `c 226:*`; `a`: every one. `rights`: of rwm. */
  | { what: 'device'; name: string; rights: string; allow: boolean }
  /** auto: all devices, unless some are named. closed: those that every program needs, besides what is named. strict: what is named. */
  | { what: 'device-policy'; policy: string }
  /** host: the host's own. none: one of its own with nothing in it. veth: a link, whose addresses are another program's matter. bridge: such a link on a bridge of the host. */
  | { what: 'network'; kind: 'host' | 'none' | 'veth'; bridge: string | null; address: string | null; gateway: string | null }
  | { what: 'port'; protocol: 'tcp' | 'udp'; host: number; inside: number }
  | { what: 'no-new-privileges'; value: boolean }
  /** cpu: processors' worth of time. memory: bytes. */
  | { what: 'limit'; limit: 'cpu' | 'memory' | 'tasks'; value: number }
  /** Whether the tree of control groups is seen from the machine's own on. */
  | { what: 'cgroups'; value: 'own' | 'host' }
  /** A grant of nestbox's, where what is asked for is known to be just that. */
  | { what: 'grant'; topic: string; kind: string; options: Record<string, string | number | boolean | string[]> }
  /** A unit that is not started by the init inside. */
  | { what: 'masked'; unit: string }
  /** Nothing that a machine file has a word for. `why`: what it does, or why it is left out. `safe`: nothing is lost by that. */
  | { what: 'unsaid'; why: string; safe?: true };

/** One thing that was asked for, with the place and the text of the line that did. */
export type Setting = Asked & { at: Place; text: string };

export type SettingOf<What extends Asked['what']> = Extract<Setting, { what: What }>;

/** Which program reads such a text, and so what holds where it says nothing. unit: systemd-nspawn@.service with the files of a machine. */
export type Way = 'unit' | 'nspawn' | 'lxc' | 'distrobox';

/** All that is known of one machine of another program. */
export interface Foreign {
  way: Way;
  /** In the order of the text; what an empty value has taken back is not among them. */
  settings: Setting[];
}

/** What a setting comes from and the line, as a message begins. */
export const placeOf = ({ at: { file, line } }: Pick<Setting, 'at'>): string => `${shown(file)}:${line}`;

/** Collects settings of one text. */
export function collector(file: string): { settings: Setting[]; add: (line: number, text: string, asked: Asked) => void; clear: (line: number, ...whats: Asked['what'][]) => void } {
  const settings: Setting[] = [];
  return {
    settings,
    add: (line, text, asked) => void settings.push({ ...asked, at: { file, line }, text: text.trim() }),
    /** An empty value takes back what stands before it. */
    clear(_, ...whats) {
      for (let i = settings.length - 1; i >= 0; i--) if (whats.includes(settings[i]!.what)) settings.splice(i, 1);
    },
  };
}

/** The last one of a kind. */
export const lastOf = <What extends Asked['what']>(settings: readonly Setting[], what: What): SettingOf<What> | null => (settings.findLast((one) => one.what === what) as SettingOf<What> | undefined) ?? null;

export const allOf = <What extends Asked['what']>(settings: readonly Setting[], what: What): SettingOf<What>[] => settings.filter((one) => one.what === what) as SettingOf<What>[];
