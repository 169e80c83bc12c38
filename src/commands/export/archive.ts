import { resolve as absolute } from 'node:path';
import { member, packing, withoutRoot } from '../../archives.ts';
import { apply } from '../../apply.ts';
import { Complaint } from '../../errors.ts';
import { must } from '../../host.ts';
import { unable } from '../../host/distribution.ts';
import { meet, readMachineFile } from '../../meet.ts';
import { probe } from '../../probe.ts';
import type { Machine } from '../../machine.ts';
import { mustNotServe } from '../../service.ts';
import type { Step } from '../../step.ts';
import { store } from '../../store.ts';
import { note } from '../../text.ts';
import { inSession } from '../run.ts';

/** Packs the root of a machine and its machine file into one file. */
export default async function archive(name: string, words: string[], to: string, { verbose }: { verbose?: boolean }): Promise<number> {
  if (words.length > 0) throw new Complaint('--archive packs the whole machine', `nestbox export ${name} --archive FILE`);
  if (!/\.tar\.zst$/.test(to)) throw new Complaint(`${to} does not end in .tar.zst`, 'it is an archive that GNU tar reads too');
  const facts = probe(process.env);
  const { tar } = facts.programs;
  if (!tar) throw unable('tar', 'pack a machine');
  const file = readMachineFile(name, facts);
  const text = withoutRoot(file.text, file.file);
  return inSession(file, facts, { ...(verbose && { verbose }) }, async (session, host, tell, base) => {
    mustNotServe(name, base);
    const { machine } = await meet(file.spec, file.file, base);
    const { run } = machine;
    const path = absolute(to);
    if ((await host.kind(path)) !== null) throw new Complaint(`${path} is there already`, 'name another file, or remove it');
    const partial = `${path}.nestbox-partial`;
    const { root, steps } = rootOf(machine);
    await apply([{ kind: 'mkdir', path: `${run}/archive`, mode: 0o700 }, { kind: 'write', path: `${run}/archive/${member}`, text, mode: 0o644 }, { kind: 'write', path: partial, text: '', mode: 0o600, owner: base.person }, ...steps], host, session.journal, tell);
    note(`packing the root of '${name}'`);
    // Not by its name: it is in the person's folder, where a link may have come into its place.
    const { uid, gid } = base.person;
    const [, ...words] = packing(root, `${run}/archive`);
    await must(host, ['nestbox-native', 'launch', '--output', partial, `${uid}`, `${gid}`, '--', tar, ...words]);
    await host.rename(partial, path);
    return 0;
  });
}

/** Where the root is seen as programs inside see it, with the ids that are in it; and what has to be mounted for that. */
function rootOf({ name, source, top, root, ephemeral, record, ownership }: Machine): { root: string; steps: Step[] } {
  if (ownership === 'shift') throw new Complaint(`the files of '${name}' have other owners than inside (users = "shift")`, 'nestbox rm gives them back; a machine with users = "own" can be packed');
  if (source.kind === 'directory' && !source.volume && !source.unpack) return { root: source.path, steps: [] };
  const template = record?.template;
  if (!template || !top) throw new Complaint(source.kind === 'directory' ? `the root of '${name}' is on a volume` : `'${name}' has no root of its own to be packed`, source.kind === 'directory' ? 'an image is a file that can be copied as it is' : `nestbox create ${name} makes it`);
  const lower = store.template(template);
  if (ephemeral) return { root: lower, steps: [] };
  return { root, steps: [{ kind: 'mkdir', path: root, mode: 0o755 }, { kind: 'overlay', at: root, top, upper: 'upper', work: 'work', lower, shift: 0 }] };
}
