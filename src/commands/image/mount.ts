import { dirname, resolve as absolute } from 'node:path';
import { apply, describe, undo } from '../../apply.ts';
import { Complaint, NeedsRoot } from '../../errors.ts';
import { unable } from '../../host/distribution.ts';
import { openImage } from '../../host/images.ts';
import { linux } from '../../host/linux.ts';
import { Interrupted } from '../../host/processes.ts';
import { keptJournal, parseJournal } from '../../journal.ts';
import { insideOfPart, besidesIn } from '../../images.ts';
import { chooseRoot, type Part, partName } from '../../image/parts.ts';
import { probe, readInsideImage, readVolume } from '../../probe.ts';
import { imageSession, nameOfImage } from '../../names.ts';
import type { Step } from '../../step.ts';
import { store } from '../../store.ts';
import { note } from '../../text.ts';
import { imageFolder, linkOf, mappingOf, rootLink } from '../../volumes.ts';
import type { ImageOptions } from '../image.ts';
import { passphraseOf } from '../run.ts';
import { mustBeFree, numberOf, openSessionOf } from './change.ts';

/** Mounts the root of an image on a folder of the person's, and its other partitions below, until `unmount`. Owners are those in the image. */
export default async function mount([named, folder, ...more]: string[], options: ImageOptions): Promise<number> {
  if (!named || !folder || more.length > 0) throw new Complaint('which image, and on which folder?', 'nestbox image mount FILE FOLDER');
  const facts = probe(process.env);
  if (!facts.root) throw new NeedsRoot('only root can mount what is in an image', `sudo nestbox image mount ${named} ${folder}`);
  const host = linux(facts.programs, note, passphraseOf(options));
  const tell = (step: Step) => (options.verbose ? note(describe(step)) : undefined);
  const image = openImage(named);
  const { path } = image.file;
  const at = absolute(folder);
  const session = openSessionOf(path, facts);
  try {
    if (await session.interrupted()) await undo(host, session.journal, tell);
    const { image: found } = readVolume(path, at, []);
    if (!found?.content) throw new Complaint(`${path} cannot be read`);
    if (found.packed) throw new Complaint(`${named} is packed`, `nestbox run ${named} unpacks it beside itself`);
    mustBeFree(image);
    if (found.content.complaints.length > 0) throw new Complaint(`the partition table of ${path} is damaged: ${found.content.complaints.join('; ')}`, `nestbox image check ${named} tells more`);
    const root = chooseRoot(found.content, path, numberOf(options));
    if ('what' in root) throw new Complaint(root.what, root.mend.replace('in [root] (or nestbox run --partition', '(nestbox image mount --partition'));
    const isLocked = root.content?.format.startsWith('luks') === true;
    if (isLocked && !facts.programs.cryptsetup) throw unable('cryptsetup', 'open an encrypted partition');
    if (root.apart !== undefined) throw new Complaint(`${partName(root, path)} cannot be opened by itself: ${root.apart}`, `losetup --find --show --partscan ${path} makes it known to LVM`);
    if (!facts.programs.e2fsck && root.content?.format.startsWith('ext')) throw unable('e2fsck', 'check a file system');
    const run = runOf(path);
    const name = imageSession(path);
    const parents: Step[] = [dirname(run), run, imageFolder(run)].map((one): Step => ({ kind: 'mkdir', path: one, mode: 0o700 }));
    const opened = (part: Part, target: string, link: string): Step[] => {
      const [below, called] = [`${imageFolder(run)}/${link}`, partName(part, path)];
      const isLuks = part === root && isLocked;
      const device = isLuks ? `/dev/mapper/${mappingOf(name)}` : below;
      return [
        { kind: 'loop', file: path, start: part.start, size: part.size, link: below, machine: name },
        ...(isLuks ? [{ kind: 'unlock' as const, device: below, mapping: mappingOf(name), machine: nameOfImage(path), keyFile: options['key-file'] === undefined ? null : absolute(options['key-file']), discard: false, called }] : []),
        { kind: 'check-file-system', device, at: target, volume: called, beside: true },
        { kind: 'mount-volume', device, at: target, volume: called, beside: { shift: 0, write: true, outside: true } },
      ];
    };
    const wasThere = (await host.kind(at)) !== null;
    host.takeSignals(); // a person may think better of it while the passphrase is asked for
    await apply([...parents, ...opened(root, at, rootLink)], host, session.journal, tell);
    const { mounts, problems } = besidesIn(readInsideImage(at) ?? insideOfPart(root), found, root, facts.kernel);
    for (const { what, mend } of problems) note(`${what}; ${mend}`);
    for (const { part, at: below } of mounts) {
      // The image is a stranger's: what leads out of it is no place for anything.
      const target = await host.resolve(`${at}${below}`);
      if (target !== `${at}${below}`) note(`${partName(part, path)} is not mounted: ${below} ${target === null ? 'is not there' : 'is a link'}, going on`);
      else await apply(opened(part, target, linkOf(part)), host, session.journal, tell);
    }
    // The way back is kept where it ends with the boot, as the mounts do; folders of the person's stay.
    const kept = (await session.journal.entries()).map((steps) => steps.filter((step) => !(step.kind === 'leftover' && (step.path.startsWith(`${at}/`) || (step.path === at && wasThere)))));
    await host.write(`${run}/undo`, kept.map((steps) => `${JSON.stringify(steps)}\n`).join(''), 0o600);
    await session.journal.clear();
    console.log(`${partName(root, path)} is on ${at}${mounts.map(({ part, at: below }) => `, ${linkOf(part)} on ${below}`).join('')}; nestbox image unmount ${named}`);
    return 0;
  } catch (error) {
    if (error instanceof Interrupted) return error.status;
    throw error;
  } finally {
    await undo(host, session.journal, tell).finally(() => {
      session.close();
      image.close();
    });
  }
}

const runOf = (path: string): string => store.mountOfImage(imageSession(path));

/** Takes back what `mount` has done. */
export async function unmount([named, ...more]: string[], options: ImageOptions): Promise<number> {
  if (!named || more.length > 0) throw new Complaint('which image?', 'nestbox image unmount FILE');
  const facts = probe(process.env);
  if (!facts.root) throw new NeedsRoot('only root can unmount what is in an image', `sudo nestbox image unmount ${named}`);
  const host = linux(facts.programs, note);
  const tell = (step: Step) => (options.verbose ? note(describe(step)) : undefined);
  const path = (await host.resolve(absolute(named))) ?? absolute(named);
  const session = openSessionOf(path, facts);
  try {
    const text = await host.read(`${runOf(path)}/undo`);
    if (text === null) throw new Complaint(`${path} is not mounted by nestbox`, 'nestbox image mount FILE FOLDER');
    // The folder that it is kept in goes last, when nothing of it is needed any more.
    const isFolder = (line: string) => parseJournal(`${line}\n`).flat().every(({ kind }) => kind === 'remove');
    const lines = text.split('\n').filter(Boolean);
    await undo(host, keptJournal(lines.filter((line) => !isFolder(line)).map((line) => `${line}\n`).join('')), tell);
    await host.remove(`${runOf(path)}/undo`);
    await undo(host, keptJournal(lines.filter(isFolder).map((line) => `${line}\n`).join('')), tell);
    return 0;
  } finally {
    session.close();
  }
}
