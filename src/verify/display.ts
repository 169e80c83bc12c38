import { clientCookie, displayNumber, socketOf } from '../displays.ts';
import { keyed, type Tries } from './common.ts';

const does = { keys: 'ask which keys are down', screen: 'read the whole screen', record: 'listen to every key (RECORD)' } as const;

/** It draws on its own display, and on no other; where its key is an untrusted one, it hears and sees nothing there. */
export const display: Tries = (subject) => {
  const { machine, facts } = subject;
  const { edits, run } = machine;
  const number = /^:(\d+)$/.exec(edits.environment.DISPLAY ?? '')?.[1];
  const socket = number === undefined ? null : socketOf(Number(number));
  const key = edits.environment.XAUTHORITY ?? null;
  const asker = machine.origin.get(edits.binds.find(({ to }) => to === socket)) ?? 'display';
  const asked = keyed(subject, asker);
  const authorized = edits.before.find((step) => step.kind === 'authorize');
  const isAdmitted = edits.before.some(({ kind }) => kind === 'admit');
  const ofHost = authorized || isAdmitted ? displayNumber(facts) : null;
  /** Through the gate it has another number, and no way past that, but for the abstract socket of a host whose network is shared. */
  const isGated = ofHost !== null && `${ofHost}` !== number;
  const isUntrusted = authorized?.kind === 'authorize' && !authorized.trusted;
  const others = [...new Set([...facts.displaysInUse, ...(displayNumber(facts) === null ? [] : [displayNumber(facts)!])])].filter((one) => `${one}` !== number);
  const noDisplay = keyed(subject, ['display']);
  return [
    ...(socket === null ? [] : [
      {
        what: `draw on display :${number}`, asked, as: 'user' as const, try: ['x11', socket, key, 'draw'] as const, expect: 'allowed' as const,
        layer: { ENOENT: 'mount' as const, ECONNREFUSED: 'x-server' as const, EACCES: 'mount' as const, refused: isAdmitted ? 'access-list' as const : 'cookie' as const, else: 'x-server' as const },
        ...(ofHost !== null && { host: ['x11', socketOf(ofHost), facts.x11!.authority, 'draw'] as const }),
      },
      ...(isAdmitted ? [] : [{ what: `enter display :${number} without its key`, asked, as: 'root' as const, try: ['x11', socket, null, 'enter'] as const, expect: 'denied' as const, layer: 'access-list' as const }]),
      ...(isUntrusted ? (['screen', 'record'] as const).map((one) => ({ what: `${does[one]} of display :${number}`, asked, as: 'user' as const, try: ['x11', socket, key, one] as const, expect: 'denied' as const, layer: 'trust' as const })) : []),
      ...(ofHost !== null && !isUntrusted ? (['screen', 'keys', 'record'] as const).map((one) => ({ what: `${does[one]} of display :${number}`, asked, as: 'user' as const, try: ['x11', socket, key, one] as const, expect: 'accepted' as const, layer: 'trust' as const })) : []),
      ...(ofHost !== null ? [] : [
        { what: `reach display :${number} past its socket`, asked, as: 'root' as const, try: ['socket', `@${socket}`] as const, expect: 'denied' as const, layer: 'x-server' as const },
        { what: `the key to display :${number}`, asked, as: 'user' as const, try: ['same', key ?? '/', clientCookie({ run })] as const, expect: 'allowed' as const, layer: 'mount' as const },
      ]),
    ]),
    ...others.flatMap((other) => ([['', 'its socket'], ['@', 'its abstract socket']] as const).filter(([sign]) => !(isGated && other === ofHost && sign === '@' && edits.network.kind === 'host')).map(([sign, way]) => ({
      what: `enter display :${other} of the host by ${way}`, asked: noDisplay, as: 'root' as const, try: ['x11', `${sign}${socketOf(other)}`, key, 'enter'] as const, expect: 'denied' as const, layer: sign === '' ? 'mount' as const : 'access-list' as const,
    }))),
  ];
};
