import * as v from 'valibot';
import { lacks } from '../errors.ts';
import { defineRoot } from '../root.ts';
import { machineName, says } from '../schema.ts';
import { store } from '../store.ts';
import { listed, nearest } from '../words.ts';

export default defineRoot({
  summary: 'a copy of another machine, as it is when this one is made',
  options: v.strictObject({ clone: v.pipe(machineName, says('The name of the other machine.')) }),
  once: true,
  paths: () => [],
  needs: ({ clone }, { store: { machines } }) => {
    const other = machines.find(({ name }) => name === clone);
    if (other?.shifted) return [{ ...lacks(`the files of '${clone}' have other owners on the disk (users = "shift")`, 'clone a machine whose ids are mapped'), at: ['clone'] }];
    if (other?.volume) return [{ ...lacks(`the root of '${clone}' is on a volume of its own (${other.volume.path})`, 'copy that volume, and name the copy'), at: ['clone'] }];
    if (other) return [];
    const names = machines.map(({ name }) => name);
    const meant = nearest(clone, names);
    return [{ ...lacks(`there is no machine '${clone}'`, meant ? `did you mean '${meant}'?` : names.length > 0 ? `there is ${listed(names)}` : 'nestbox list shows them'), at: ['clone'] }];
  },
  source: ({ clone }, { store: { machines } }, own) => {
    const { template, directory } = machines.find(({ name }) => name === clone)!;
    if (template) return { kind: 'clone', of: clone, template, top: `${store.machine(clone)}/top` };
    return { kind: 'directory', path: own, copy: { of: clone, from: directory! } };
  },
});
