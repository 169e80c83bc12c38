import { type Rule, smallerFor } from '../audit.ts';
import { bound } from '../known.ts';
import { opensSoundServer } from '../sounds.ts';

export default {
  summary: "the socket of the host's sound server is bound with nothing before it: PulseAudio, PipeWire",
  look: (known) => bound(known, /^\/(run|tmp|home\/[^/]+)\/(.*\/)?(pulse(-\w+)?(\/native)?|pipewire-\d+(-manager)?)$/).flatMap(({ is: { from }, where }) => opensSoundServer
    .filter(({ can }) => can === 'microphone' || !/pipewire-\d/.test(from)) // the modules of PipeWire's own protocol are the client's
    .map((exposure) => ({ ...exposure, where, ...smallerFor(known, { nestbox: 'audio = "playback"', nspawn: 'a sound server of its own that plays into this one', lxc: 'a sound server of its own that plays into this one' }, 'recording') }))),
} satisfies Rule;
