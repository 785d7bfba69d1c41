// The RP2040 image in rp2040js, in the time of its own clock: `node emulator.mjs IMAGE FOLDER_OF_RP2040JS`.
//
// One JSON object a line on standard input: {"until_us": T, "data": "hex"}; data reaches the board first. "estop" presses
// the emergency stop or releases it, "upper" presses the upper switches. The answer, one line too: {"now_us": T,
// "out": [[T, "hex"], ...], "pos": [x, y, z], "rotor": [x, y, z]}, with "edges" asked for also the step edges, triggers,
// duties of the lamp and cycle counts since it was last asked. A small stage stands behind the pins.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [image, folder] = process.argv.slice(2);
const { RP2040, USBCDC, LogLevel, ConsoleLogger, GPIOPinState } = createRequire(folder + "/")("rp2040js");
const FLASH = 0x10000000, NANOS_PER_CYCLE = 8, TRIGGER = 12, ESTOP = 13, TIMER_IRQ = 16;
const STAGES = [
  { rotor: 4800, play: 48, press: -424, release: -400, upper: 60800, low: -1648, high: 62000 },
  { rotor: 3200, play: 48, press: -424, release: -400, upper: 20800, low: -1648, high: 22000 },
  { rotor: 2240, play: 64, press: -352, release: -320, upper: 16640, low: -1344, high: 17600 },
];

const chip = new RP2040();
const clock = chip.clock;
chip.logger = new ConsoleLogger(LogLevel.Error, false);
const flash = readFileSync(image);
chip.flash.set(flash, 0);
const vectors = new DataView(flash.buffer, flash.byteOffset + 0x100);
chip.core.VTOR = FLASH + 0x100; // the boot ROM and the second boot stage are not run
chip.core.SP = vectors.getUint32(0, true);
chip.core.PC = vectors.getUint32(4, true) & ~1;

// The timer of rp2040js fires up to 1 us early. The chip's fires when the counter comes to the time of the alarm.
const ALARM0 = 0x10, timer = chip.peripherals[0x40054];
const writeTimer = timer.writeUint32.bind(timer);
let dueNanos = 0; // when the alarm is due: the step that it was set for comes no earlier
timer.writeUint32 = (offset, value) => {
  writeTimer(offset, value);
  if (offset !== ALARM0) return;
  dueNanos = (value >>> 0) * 1000;
  const left = (value - Math.floor(clock.nanos / 1000)) >>> 0;
  timer.alarms[0].clockAlarm.schedule(Math.max(left * 1000 - (clock.nanos % 1000), 0));
};

// A real WFI ends when an interrupt is pending, masked or not, and a masked one is not taken. That of rp2040js sleeps on
// an interrupt that came before it, and takes a masked one.
const check = chip.core.checkForInterrupts.bind(chip.core);
chip.core.checkForInterrupts = () => ((chip.core.waiting = false), check());

// --- the stage
const micros = () => Math.floor(clock.nanos / 1000);
const none = { n: 0, sum: 0, longest: 0 };
const count = (what, length) => (what.n++, (what.sum += length), (what.longest = Math.max(what.longest, length)));
const edges = [[], [], []];
let late = { ...none }; // by how many ns a step comes after its alarm was due
STAGES.forEach((s, axis) => {
  s.stage = s.rotor + s.play / 2;
  const lower = chip.gpio[14 + 2 * axis], upper = chip.gpio[15 + 2 * axis], direction = chip.gpio[3 + 2 * axis];
  lower.setInputValue(false);
  upper.setInputValue(false);
  chip.gpio[2 + 2 * axis].addListener((now) => {
    if (now !== GPIOPinState.High) return;
    const step = direction.value === GPIOPinState.High ? 1 : -1;
    s.rotor = Math.min(Math.max(s.rotor + step, s.low), s.high);
    s.stage = Math.min(Math.max(s.stage, s.rotor), s.rotor + s.play);
    if (s.stage <= s.press) lower.setInputValue(true);
    if (s.stage >= s.release) lower.setInputValue(false);
    upper.setInputValue(s.stage >= s.upper);
    edges[axis].push(clock.nanos);
    count(late, clock.nanos - dueNanos);
  });
});
chip.gpio[ESTOP].setInputValue(false);
const triggers = []; // [begin, end] of every pulse
chip.gpio[TRIGGER].addListener((now) => {
  if (now === GPIOPinState.High) triggers.push([clock.nanos]);
  else if (triggers.length) triggers.at(-1)[1] = clock.nanos;
});

const LAMP_DUTY = 0x70, pwm = chip.peripherals[0x40050], lamp = []; // [time, duty] of every change
const writePwm = pwm.writeUint32.bind(pwm);
pwm.writeUint32 = (offset, value) => {
  writePwm(offset, value);
  if (offset === LAMP_DUTY) lamp.push([clock.nanos, value >>> 16]);
};

// --- the cable. USBCDC of rp2040js answers an OUT buffer at once with nothing: hold it until there is something.
const cdc = new USBCDC(chip.usbCtrl);
let out = [], waiting = [], held = null;
cdc.onSerialData = (data) => data.length && out.push([micros(), Buffer.from(data).toString("hex")]);
const give = () => {
  if (held === null || waiting.length === 0) return;
  const { endpoint, size } = held, data = Uint8Array.from(waiting.splice(0, Math.min(size, 64)));
  held = null;
  chip.usbCtrl.endpointReadDone(endpoint, data);
};
const read = chip.usbCtrl.onEndpointRead;
chip.usbCtrl.onEndpointRead = (endpoint, size) => {
  if (endpoint !== cdc.outEndpoint) return read?.(endpoint, size);
  held = { endpoint, size };
  give();
};

// --- time
// `isr`: cycles in the alarm; `lock`: cycles that the main loop kept it away. rp2040js counts none for entering an
// interrupt and for leaving it; a Cortex-M0+ takes 15 or 16 for the one, 12 for the other.
const ENTER_AND_LEAVE = 28;
const isr = { ...none }, lock = { ...none };
let cycles = 0, entered = null, locked = null;
const run = (untilNanos) => {
  const core = chip.core;
  while (clock.nanos < untilNanos) {
    if (core.waiting) {
      clock.tick(Math.min(clock.nanosToNextAlarm || Infinity, untilNanos - clock.nanos));
      continue;
    }
    const n = core.executeInstruction();
    cycles += n;
    clock.tick(n * NANOS_PER_CYCLE);
    if (core.waiting && core.pendingInterrupts & core.enabledInterrupts) core.waiting = false;
    const isInside = core.IPSR === TIMER_IRQ;
    if (isInside && entered === null) entered = cycles - n;
    if (!isInside && entered !== null) {
      count(isr, cycles - entered + ENTER_AND_LEAVE);
      entered = null;
    }
    const isLocked = core.PM && !isInside;
    if (isLocked && locked === null) locked = cycles;
    if (!isLocked && locked !== null) {
      count(lock, cycles - locked);
      locked = null;
    }
  }
};

createInterface({ input: process.stdin }).on("line", (line) => {
  const asked = JSON.parse(line);
  if (asked.data) waiting.push(...Buffer.from(asked.data, "hex"));
  if (asked.estop !== undefined) chip.gpio[ESTOP].setInputValue(asked.estop);
  if (asked.upper) for (const axis of [0, 1, 2]) chip.gpio[15 + 2 * axis].setInputValue(true); // until the next step
  give();
  run(asked.until_us * 1000);
  const reply = { now_us: micros(), out, pos: STAGES.map((s) => s.stage), rotor: STAGES.map((s) => s.rotor) };
  if (asked.edges) {
    Object.assign(reply, { edges: edges.map((e) => e.splice(0)), triggers: triggers.splice(0), lamp: lamp.splice(0), isr: { ...isr }, lock: { ...lock }, late: { ...late } });
    Object.assign(isr, none), Object.assign(lock, none), Object.assign(late, none);
  }
  out = [];
  process.stdout.write(JSON.stringify(reply) + "\n");
});
