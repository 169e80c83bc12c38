import * as v from 'valibot';
import { toolEdits } from '../foreign/tools.ts';
import { defineGrant } from '../grant.ts';
import { says } from '../schema.ts';

export default defineGrant({
  summary: "how programs for another processor are helped, where the machine's root is for one",
  options: v.strictObject({
    native: v.optional(v.pipe(v.boolean(), says("Unpack packages with the host's own dpkg-deb, tar, xz and the like, which are not emulated; what is written is the same. See docs/foreign.md.")), true),
  }),
  needs: () => [],
  edits: ({ native }, { facts: { tools }, emulated }) => (native && emulated && tools ? toolEdits(tools) : {}),
  exposes: ({ native }, facts) => (native && (!facts || facts.tools) ? [{ can: 'hints', what: "programs inside can read which versions of dpkg, tar and the like, and of their libraries, the host has", smaller: { say: 'foreign = { native = false }', loses: 'packages inside that are unpacked at the speed of the host' } }] : []),
});
