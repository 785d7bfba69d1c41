// The RP2040 image in rp2040js, in the time of its own clock: `node emulator.mjs IMAGE FOLDER_OF_RP2040JS`.
//
// One JSON object a line on standard input: {"until_us": T, "data": "hex"}; data reaches the board first. The answer, one
// line too: {"now_us": T, "out": [[T, "hex"], ...], "pos": [x, y, z], "isr": {...}}. A small stage stands behind the pins.
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

// --- the stage
const micros = () => Math.floor(clock.nanos / 1000);
const edges = [[], [], []];
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
  });
});
chip.gpio[ESTOP].setInputValue(false);
const triggers = []; // [begin, end] of every pulse
chip.gpio[TRIGGER].addListener((now) => {
  if (now === GPIOPinState.High) triggers.push([clock.nanos]);
  else if (triggers.length) triggers.at(-1)[1] = clock.nanos;
});

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
const isr = { n: 0, sum: 0, longest: 0 };
let cycles = 0, entered = null;
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
    const isInside = core.IPSR === TIMER_IRQ;
    if (isInside && entered === null) entered = cycles;
    if (!isInside && entered !== null) {
      const length = cycles - entered;
      isr.n++, (isr.sum += length), (isr.longest = Math.max(isr.longest, length));
      entered = null;
    }
  }
};

createInterface({ input: process.stdin }).on("line", (line) => {
  const asked = JSON.parse(line);
  if (asked.data) waiting.push(...Buffer.from(asked.data, "hex"));
  if (asked.estop !== undefined) chip.gpio[ESTOP].setInputValue(asked.estop);
  give();
  run(asked.until_us * 1000);
  const reply = { now_us: micros(), out, pos: STAGES.map((s) => s.stage), rotor: STAGES.map((s) => s.rotor), isr };
  if (asked.edges) (reply.edges = edges.map((e) => e.splice(0))), (reply.triggers = triggers.splice(0)), (reply.isr = { ...isr }), Object.assign(isr, { n: 0, sum: 0, longest: 0 });
  out = [];
  process.stdout.write(JSON.stringify(reply) + "\n");
});
