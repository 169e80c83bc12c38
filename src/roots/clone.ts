import * as v from 'valibot';
import { lacks } from '../errors.ts';
import { defineRoot } from '../root.ts';
import { machineName, says } from '../schema.ts';
import { store } from '../store.ts';
import { templateKey } from '../templates.ts';
import { listed, nearest } from '../words.ts';

export default defineRoot({
  summary: 'a copy of another machine, as it is when this one is made',
  options: v.strictObject({ clone: v.pipe(machineName, says('The name of the other machine.')) }),
  paths: () => [],
  needs: ({ clone }, { store: { machines } }) => {
    if (machines.some(({ name }) => name === clone)) return [];
    const names = machines.map(({ name }) => name);
    const meant = nearest(clone, names);
    return [{ ...lacks(`there is no machine '${clone}'`, meant ? `did you mean '${meant}'?` : names.length > 0 ? `there is ${listed(names)}` : 'nestbox list shows them'), at: ['clone'] }];
  },
  source: ({ clone }, { store: { machines }, paths }) => {
    const { template, directory } = machines.find(({ name }) => name === clone)!;
    if (template) return { kind: 'clone', template, top: `${store.machine(clone)}/top` };
    // A directory of the person's is copied whole: what is in it may change under us at any time.
    return { kind: 'template', key: templateKey('clone', clone, { directory, modified: paths[directory!]?.modified }), build: (target) => [{ kind: 'copy-tree', from: directory!, to: target }] };
  },
});
