import { Complaint } from './errors.ts';
import type { Change } from './image/edit.ts';
import type { Read } from './image/table.ts';
import type { Extent, ImageFile, Owner, Place, Step } from './step.ts';
import { pasteable } from './words.ts';

type Of<K extends Step['kind']> = Extract<Step, { kind: K }>;

export interface Stat {
  kind: 'file' | 'directory' | 'link' | 'socket' | 'other';
  uid: number;
  gid: number;
  mode: number;
}

/** Small things done to files, and what has to be known of these before; none of it goes by way of a link that others than root can change. */
export interface Changes {
  /** Without following a link; null: nothing is there. */
  stat(path: string): Promise<Stat | null>;
  kind(path: string): Promise<Stat['kind'] | null>;
  /** What is in a file; null: there is none. */
  read(path: string): Promise<string | null>;
  /** What a link says; null: there is none. */
  readLink(path: string): Promise<string | null>;
  /** Whole or not at all. */
  write(path: string, data: string | Uint8Array, mode: number, owner?: Owner): Promise<void>;
  mkdir(path: string, mode: number, owner?: Owner): Promise<void>;
  own(path: string, mode: number, owner: Owner): Promise<void>;
  symlink(to: string, path: string): Promise<void>;
  /** A file or an empty folder. */
  remove(path: string): Promise<void>;
}

/** The only door to effects. Real (host/linux.ts), or in memory for the tests. */
export interface Host extends Changes {
  /** The same in a root, or a layer of one, which may be hostile: paths are those in it, and a Complaint (leadsOutside() of layers.ts) is thrown where its links lead out of it. */
  within(root: string): Changes;
  /** Under its own name from the beginning, where nothing is: whatever is there by then is not written over. */
  writeNew(path: string, data: string, mode: number, owner?: Owner): Promise<void>;
  list(path: string): Promise<string[]>;
  /** Where the path leads, all links followed; null: nowhere. */
  resolve(path: string): Promise<string | null>;
  /** Into a file of the kernel's (a control group's setting). */
  set(path: string, value: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Complains while anything is mounted at or below the path, by the mount table. */
  mustBeUnmounted(path: string): Promise<void>;
  /** Refuses while anything is mounted below, by the mount table. */
  removeTree(path: string): Promise<void>;
  /** As removeTree(), but what is not empty, not a file, or held by a living process stays. */
  removeLeftover(path: string): Promise<void>;
  isMounted(path: string): Promise<boolean>;
  /** Where something is mounted at or below the path, the oldest first; as often as it is. */
  mountsBelow(path: string): Promise<string[]>;
  /** Never a shell, never the caller's PATH; the first word is a program of the table in errors.ts. */
  run(argv: readonly string[], input?: string): Promise<{ code: number; stdout: string; stderr: string }>;
  /** The same for what opens an encrypted volume: it is given the passphrase, or asks the person for it. */
  unlock(argv: readonly string[]): Promise<void>;
  build(step: Of<'build'>): Promise<void>;
  /** Packages that were fetched before, for a root that is to be made. What hinders it is no error: then they are fetched. */
  bringFetched(step: Of<'fetched-in'>): Promise<void>;
  /** Takes them and their lists out of it again, to be brought the next time. */
  keepFetched(root: string): Promise<void>;
  /** Whole or not at all, and nothing that is there is written over. */
  unpack(step: Of<'unpack'>): Promise<void>;
  /** Refuses while the machine runs that the tree belongs to. */
  copyTree(step: Of<'copy-tree'>): Promise<void>;
  changeOwners(step: Of<'owners'>): Promise<void>;
  /** Returns when the service is ready. */
  serve(step: Of<'service'>): Promise<void>;
  /** Returns when the container has ended. */
  contain(step: Of<'container'>): Promise<void>;
  stop(place: Place, grace: boolean): Promise<void>;
  endGroup(folders: readonly string[]): Promise<void>;
  /** Throws when the person has asked to stop. */
  interrupted(): void;
  x11: X11;
  images: Images;
}

/** What nestbox does to running X servers, and the keys to them. */
export interface X11 {
  newKey(step: Of<'cookie'>): Promise<void>;
  copyKey(step: Of<'copy-cookie'>): Promise<void>;
  authorize(step: Of<'authorize'>): Promise<void>;
  deauthorize(step: Of<'deauthorize'>): Promise<void>;
  isAdmitted(step: Of<'admit'>): Promise<boolean>;
  admit(step: Of<'admit'> | Of<'dismiss'>, admitted: boolean): Promise<void>;
}

/** How a program gets at a part of an image. */
export interface Work {
  write: boolean;
  /** The type of the file system, which it finds mounted. */
  mount?: string;
  /** It is told where in the image, as programs of e2fsprogs can be: there is no device. For those that only read: resize2fs cuts off a file. */
  bare?: boolean;
}

/** Disk images. Each is locked when it is first written to, until nestbox and all that it has started for it have ended. */
export interface Images {
  /** Bytes; null: it is gone, or another file has its name. */
  length(image: ImageFile): Promise<number | null>;
  reader(image: ImageFile): Read;
  /** It is to be changed: from the first work on it on it is locked. */
  keep(image: ImageFile): Promise<void>;
  /** On the disk when it returns. */
  resize(image: ImageFile, length: number): Promise<void>;
  /** One after the other, each on the disk before the next. */
  write(image: ImageFile, changes: readonly Change[]): Promise<void>;
  /** Whole and on the disk when it returns: with its owner, its rights and its holes. It ends with nestbox. */
  copy(image: ImageFile, copy: string): Promise<void>;
  replace(image: ImageFile, copy: string): Promise<void>;
  /** A program of the host at work on these bytes alone, which ends with nestbox: {} is a device, or where that is mounted. */
  work(image: ImageFile, extent: Extent, how: Work, argv: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }>;
}

/** Runs a program of the host that must succeed; otherwise a Complaint with its command line and its last words. */
export async function must(host: Host, argv: string[]): Promise<void> {
  const { code, stderr } = await host.run(argv);
  if (code !== 0) throw new Complaint(`this failed with exit status ${code}: ${pasteable(argv)}`, stderr.trim().split('\n').slice(-5).join('\n'));
}

/** Of a job of nestbox-native that says itself, for people, what is wrong: the first line, and what to do: the others. */
export function saidBy(stderr: string, argv: readonly string[], code: number): Complaint {
  const [what, ...mend] = stderr.trim().split('\n');
  return what ? new Complaint(what, mend.join('\n')) : new Complaint(`this failed with exit status ${code}: ${pasteable(argv)}`);
}
