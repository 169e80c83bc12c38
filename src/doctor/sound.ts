import { type Check, type Finding, type Patient, works } from '../doctor.ts';
import { installing } from '../packages.ts';

/** The person's sound server, how it is reached as root, and the sound cards. */
export default {
  title: 'Sound',
  look(patient): Finding[] {
    const { facts: { sound } } = patient;
    return [
      server(patient),
      sound.cards.length > 0 ? works(`sound cards: ${sound.cards.map(({ id }) => id).join(', ')}`, 'audio = "alsa"')
        : { state: 'missing', what: 'the host has no sound card (/proc/asound/cards)', words: ['audio = "alsa"', 'seat.sound'], mend: 'audio = "playback" plays to the sound server, into the void or a file' },
    ];
  },
} satisfies Check;

function server({ facts, condition: { through, listens } }: Patient): Finding {
  const { sound: { pulse, pipewire }, person } = facts;
  const words = ['audio = "pulse"', 'audio = "playback" that is heard'];
  if (person.uid === 0) return { state: 'limited', what: "root itself asked: a machine plays to the sound server of a person, and root's own is left alone", words, mend: 'call nestbox from your own account: it finds your server by your id, also through sudo' };
  if (pulse && !listens) return { state: 'missing', what: `nobody listens at ${pulse}, which is there`, words, mend: `as ${person.name}: systemctl --user restart ${pipewire ? 'pipewire-pulse' : 'pulseaudio'}` };
  if (pulse) return works(`the sound server of ${person.name}: ${pulse}${through ? `, also from ${through}` : ''}`, ...words);
  if (pipewire) return { state: 'missing', what: `PipeWire runs (${pipewire}), and its PulseAudio server does not`, words, mend: `${installing(['pipewire-pulse'], facts)}, and then, as ${person.name}: systemctl --user enable --now pipewire-pulse`, packages: ['pipewire-pulse'] };
  return { state: 'missing', what: `no sound server of ${person.name} runs (/run/user/${person.uid}/pulse/native)`, words, mend: 'log in to a session that has one; audio = "playback" plays into the void, or a file' };
}
