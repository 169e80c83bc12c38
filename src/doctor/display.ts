import { displayNumber } from '../displays.ts';
import { type Check, type Finding, type Patient, works } from '../doctor.ts';

const words = ['display = "nested"', 'display = "x11"'];

/** The X display that the person sits at, and how it is reached as root. */
export default {
  title: 'Display',
  look(patient): Finding[] {
    const { facts, condition: { wayland, closed, through } } = patient;
    const { x11 } = facts;
    if (!x11) return [{ state: 'missing', what: wayland ? `there is a Wayland compositor (${wayland}), and no X display that is told of` : 'there is no X display that nestbox was told of (DISPLAY)', words, mend: whereFrom(patient) }];
    if (displayNumber(facts) === null) return [{ state: 'missing', what: `the X display '${x11.display}' is on another computer`, words, mend: 'display = "headless", and nestbox screenshot' }];
    if (closed) return [{ state: 'missing', what: `the X display '${x11.display}' cannot be entered ${x11.authority ? `with the key in ${x11.authority}` : 'without a key (XAUTHORITY)'}\n${closed}`, words, mend: whereFrom(patient) }];
    return [works(`the X display '${x11.display}'${wayland ? ' (of a Wayland compositor)' : ''}, ${x11.authority ? `with the key in ${x11.authority}` : 'which asks for no key'}${through ? `, also from ${through}` : ''}`, ...words)];
  },
} satisfies Check;

/** sudo begins with a clean environment and loses what tells of them; nestbox itself keeps it when it asks for root's rights. */
const whereFrom = ({ facts: { root, person }, condition: { through } }: Patient): string =>
  through ? `call nestbox without ${through}: it asks for root's rights itself, and keeps DISPLAY and XAUTHORITY; or sudo --preserve-env=DISPLAY,XAUTHORITY nestbox ...`
    : root && person.uid === 0 ? 'call nestbox from the graphical session, as the person who sits there; display = "headless" does without'
      : 'call nestbox from a terminal of the graphical session; display = "headless" does without';
