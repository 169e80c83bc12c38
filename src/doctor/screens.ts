import { classEdit } from '../classes.ts';
import { type Check, type Finding, type Patient, works } from '../doctor.ts';
import { uinput } from '../inputs.ts';
import { lastLogin, lastTerminal } from '../terminals.ts';

/** Virtual terminals, and what keyboards and mice of machines come from. */
export default {
  title: 'Terminals and seats',
  look(patient): Finding[] {
    const { facts } = patient;
    const words = ['display.vt', 'seat'];
    if (!facts.terminals) return [{ state: 'missing', what: 'this computer has no virtual terminals', words, mend: 'it has no screen of its own, or its kernel was built without CONFIG_VT: display = "nested" and "headless" do without' }];
    const taken = [...facts.terminals.used, ...facts.terminals.machines].map(({ number }) => number);
    const free = Array.from({ length: lastTerminal - lastLogin - 1 }, (_, i) => lastLogin + 1 + i).filter((number) => !taken.includes(number)).length;
    const inputs = classEdit(facts, 'char-input', false).majors.length > 0;
    return [
      free > 0 ? works(`${free} virtual terminals are free`, 'display.vt') : { state: 'missing', what: 'no virtual terminal is free', words: ['display.vt'], mend: 'stop a machine that has one: nestbox list shows them' },
      ...mirrors(patient),
      inputs ? works('keyboards and mice have nodes', ...words) : { state: 'missing', what: 'the host knows no input devices', words, mend: 'modprobe evdev, or a kernel with CONFIG_INPUT_EVDEV' },
    ];
  },
} satisfies Check;

function mirrors({ facts: { nodes }, condition: { drivers } }: Patient): Finding[] {
  const words = ['display.vt.input = "visible"', 'seat'];
  if (nodes[uinput]) return [works(`${uinput}, by which machines get keyboards and mice of their own`, ...words)];
  return [{ state: 'missing', what: `the host has no ${uinput}, by which machines would get keyboards and mice of their own`, words, mend: drivers.uinput === 'missing' ? 'a kernel with CONFIG_INPUT_UINPUT' : drivers.uinput === 'loadable' ? 'modprobe uinput' : 'modprobe uinput, or a kernel with CONFIG_INPUT_UINPUT' }];
}
