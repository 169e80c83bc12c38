import { keyed, type Tries } from './common.ts';

/** It plays where it may; it records and loads modules only where it has the host's own sound server. */
export const sound: Tries = (subject) => {
  const { machine: { edits, origin, helper, run }, facts } = subject;
  const socket = /^unix:(.*)$/.exec(edits.environment.PULSE_SERVER ?? '')?.[1];
  const asked = keyed(subject, origin.get(edits.services.find(({ argv }) => argv.includes('pulse-gate'))) ?? ['audio']);
  const isHosts = edits.services.some(({ argv }) => argv.includes('--open'));
  const layer = { ENOENT: 'mount' as const, EACCES: 'mount' as const, ECONNREFUSED: 'sound-gate' as const, refused: 'sound-gate' as const, else: 'sound-server' as const };
  const hosts = (does: 'play' | 'record' | 'module') => (isHosts && facts.sound.pulse ? { host: ['sound', facts.sound.pulse, does] as const } : {});
  if (socket !== undefined)
    return [
      { what: 'play', asked, as: 'user', try: ['sound', socket, 'play'], expect: 'allowed', layer, ...hosts('play') },
      ...([['record', 'record what is played, or a microphone'], ['module', 'load a module into the sound server']] as const).map(([does, what]) => ({
        what, asked, as: 'root' as const, try: ['sound', socket, does] as const, expect: isHosts ? 'accepted' as const : 'denied' as const, layer: 'sound-gate' as const,
      })),
      // Behind the gate nobody inside gets to it: what it would do is seen from outside.
      ...(isHosts ? [] : [{ what: 'the sound server behind the gate loads modules', asked, as: 'host' as const, try: ['behind', `${run}/sound/server/native`, 'load', `${helper.uid}:${helper.gid}`] as const, expect: 'denied' as const, layer: 'sound-server' as const }]),
    ];
  return facts.sound.pulse ? [{ what: "play by the host's sound server", asked: keyed(subject, ['audio']), as: 'root', try: ['sound', facts.sound.pulse, 'play'], expect: 'denied', layer: 'mount' }] : [];
};
