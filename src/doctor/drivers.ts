import { type Check, type Finding, type Patient, works } from '../doctor.ts';
import { listed } from '../words.ts';

/** Drivers that do not fit: of another kernel, of another version, or none. */
export default {
  title: 'Graphics and drivers',
  look(patient): Finding[] {
    const { facts: { graphics, kernel }, condition: { modules, undriven } } = patient;
    return [
      ...(modules === 'others' ? [{ state: 'limited' as const, what: `/lib/modules has nothing of the kernel that runs (${kernel}): what is not loaded yet cannot be`, words: ['root.image', 'root.luks', 'network', 'gpu', 'seat', 'kernel-sources'], mend: 'after an update of the kernel: start the host anew' }] : []),
      ...(graphics.length === 0 && undriven.length === 0 ? [{ state: 'missing' as const, what: 'the host has no graphics card with a driver (/dev/dri)', words: ['gpu', 'display.vt', 'seat'], mend: 'programs inside draw by the processor; display = "nested" and "headless" do without' }] : []),
      ...graphics.map(({ card, driver, render }): Finding => (render || driver === '' ? works(`${card}: ${driver || 'no driver that is named'}${render ? `, ${render}` : ''}`, 'gpu') : { state: 'limited', what: `${card} (${driver || 'a driver without a name'}) only shows pictures, and does not draw them: it has no render node`, words: ['gpu = "render"'], mend: 'programs inside draw by the processor' })),
      ...undriven.map(({ pci, vendor }): Finding => ({ state: 'missing', what: `the graphics card at ${pci} has no driver (vendor ${vendor})`, words: ['gpu', 'display.vt', 'seat'], mend: vendor === '10de' ? "modprobe nvidia, or nouveau; else install NVIDIA's driver" : 'journalctl --dmesg tells why; often firmware is missing (firmware-linux-nonfree in Debian, linux-firmware elsewhere)' })),
      ...nvidia(patient),
    ];
  },
} satisfies Check;

function nvidia({ facts: { nvidia: loaded, graphics }, condition: { nvidiaLibraries } }: Patient): Finding[] {
  const words = ['gpu.nvidia', 'gpu = "render" on such a card'];
  if (!loaded) return graphics.some(({ driver }) => driver === 'nvidia') ? [{ state: 'limited', what: "NVIDIA's driver has the card and is not ready: /proc/driver/nvidia/version is not there", words, mend: 'modprobe nvidia' }] : [];
  const { version, majors } = loaded;
  return [
    nvidiaLibraries.includes(version) ? works(`NVIDIA's driver ${version}, with libraries of the same version`, ...words)
      : { state: 'missing', what: `the kernel runs NVIDIA's driver ${version}, and the libraries of this host are ${nvidiaLibraries.length > 0 ? listed(nvidiaLibraries) : 'not there'}`, words, mend: nvidiaLibraries.length > 0 ? 'after an update of the driver: start the host anew' : `install the libraries of ${version}, or say [gpu.nvidia] libraries = "inside"` },
    ...(majors['nvidia-uvm'] === undefined ? [{ state: 'limited' as const, what: "the part of NVIDIA's driver that CUDA computes with is not loaded", words: ['CUDA'], mend: 'modprobe nvidia-uvm' }] : []),
  ];
}
