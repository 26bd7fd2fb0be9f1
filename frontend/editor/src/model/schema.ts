// What /object_info says of a node, and the widgets and slots that follow from it (specs/workflow-conversion.md 2, 3).
import { isObj, type Json, type Obj } from "./json";
import type { Node } from "./document";

export type Kind = "int" | "float" | "text" | "toggle" | "combo" | "control" | "filter" | "raw";

/** Input is one declared input. */
export interface Input {
  name: string;
  type: string; // COMBO for lists of choices
  options: Obj;
  choices?: Json[];
  optional: boolean;
  widget: boolean;
  keys?: { key: string; inputs: Input[] }[]; // of a dynamic combo
  grow?: { names: string[]; min: number; inputs: Input[] }; // of an autogrow list
}

/** Class is one node class. */
export interface Class {
  name: string;
  title: string;
  category: string;
  description: string;
  output: boolean;
  deprecated: boolean;
  inputs: Input[];
  outputs: { name: string; type: string; tooltip?: string }[];
}

export type Classes = Map<string, Class>;

const widgetTypes = new Set(["INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", "IMAGEUPLOAD", "COLOR", "MARKDOWN", "LOAD_3D", "LOAD_3D_ANIMATION",
  "AUDIO_UI", "AUDIO_RECORD", "WEBCAM", "CURVE", "IMAGECOMPARE", "BOUNDING_BOX", "COMFY_DYNAMICCOMBO_V3"]);

export function readClasses(info: Obj): Classes {
  const all: Classes = new Map();
  for (const [name, v] of Object.entries(info)) {
    if (!isObj(v)) continue;
    const declared = isObj(v.input) ? v.input : {};
    const order = isObj(v.input_order) ? v.input_order : {};
    const types = (v.output as Json[]) ?? [];
    const names = (v.output_name as Json[]) ?? types;
    const tips = (v.output_tooltips as Json[]) ?? [];
    all.set(name, {
      name,
      title: (v.display_name as string) || name,
      category: (v.category as string) || "",
      description: (v.description as string) || "",
      output: v.output_node === true,
      deprecated: v.deprecated === true,
      inputs: inputsOf(declared, order),
      outputs: types.map((t, i) => ({
        name: String(names[i] ?? t),
        type: Array.isArray(t) ? "COMBO" : matchType(t),
        tooltip: typeof tips[i] === "string" ? (tips[i] as string) : undefined,
      })),
    });
  }
  return all;
}

const matchType = (t: Json) => (t === "COMFY_MATCHTYPE_V3" ? "*" : String(t));

function inputsOf(declared: Obj, order: Obj = {}): Input[] {
  const list: Input[] = [];
  for (const part of ["required", "optional"]) {
    const of = isObj(declared[part]) ? (declared[part] as Obj) : {};
    const first = Array.isArray(order[part]) ? (order[part] as string[]) : [];
    const names = [...first.filter((n) => n in of), ...Object.keys(of).filter((n) => !first.includes(n))];
    for (const name of names) list.push(inputOf(name, of[name], part === "optional"));
  }
  return list;
}

function inputOf(name: string, declared: Json, optional: boolean): Input {
  const [type, opts] = Array.isArray(declared) ? declared : [declared];
  const options = isObj(opts) ? opts : {};
  const input: Input = { name, type: Array.isArray(type) ? "COMBO" : matchType(type), options, optional, widget: false };
  if (Array.isArray(type)) input.choices = type;
  else if (type === "COMBO" && Array.isArray(options.options)) input.choices = options.options;
  if (type === "COMFY_DYNAMICCOMBO_V3" && Array.isArray(options.options)) {
    input.keys = options.options.filter(isObj).map((o) => ({ key: String(o.key), inputs: inputsOf(isObj(o.inputs) ? o.inputs : {}) }));
    input.choices = input.keys.map((k) => k.key);
  }
  if (type === "COMFY_AUTOGROW_V3" && isObj(options.template)) input.grow = growOf(options.template);
  const forced = options.forceInput === true || options.defaultInput === true;
  input.widget = !forced && (widgetTypes.has(input.type) || options.widgetType != null);
  return input;
}

function growOf(t: Obj): Input["grow"] {
  const min = Number(t.min ?? 0);
  const names = Array.isArray(t.names)
    ? t.names.map(String)
    : Array.from({ length: Math.min(Number(t.max ?? 10), 100) }, (_, i) => `${t.prefix ?? ""}${i}`);
  return { names, min, inputs: inputsOf(isObj(t.input) ? t.input : {}) };
}

/** compatible tells whether a link from a socket of one type may enter one of the other (section 5). */
export function compatible(from: string, to: string): boolean {
  if (!from || !to || from === "*" || to === "*") return true;
  const wanted = to.toLowerCase().split(",");
  return from.toLowerCase().split(",").some((t) => wanted.includes(t));
}

/** Widget is one control of a node and the place of its value in the file. */
export interface Widget {
  name: string;
  kind: Kind;
  label: string;
  input: Input;
  at: number | string; // index in widgets_values, or the key where that is an object
  value: Json; // undefined in the file: the default
}

export function controlOf(input: Input): number {
  let flag: Json = input.options.control_after_generate;
  if (flag === undefined && input.type === "INT" && (input.name === "seed" || input.name === "noise_seed")) flag = true;
  if (!flag) return 0;
  return input.type === "COMBO" ? 2 : input.type === "INT" ? 1 : 0;
}

export function initial(input: Input): Json {
  const fallback = input.options.default;
  if (fallback !== undefined) return fallback;
  if (input.choices) return input.choices[0] ?? "";
  switch (input.type) {
    case "INT":
    case "FLOAT":
      return 0;
    case "BOOLEAN":
      return false;
    case "STRING":
      return "";
  }
  return null;
}

export function kindOf(input: Input): Kind {
  if (input.choices) return "combo";
  switch (input.type) {
    case "INT":
      return "int";
    case "FLOAT":
      return "float";
    case "BOOLEAN":
      return "toggle";
    case "STRING":
    case "COLOR":
    case "MARKDOWN":
      return "text";
    case "COMBO":
      return "combo";
  }
  return "raw";
}

export const controlInput: Input = {
  name: "control_after_generate", type: "COMBO", options: { default: "randomize" }, choices: ["fixed", "increment", "decrement", "randomize"],
  optional: true, widget: true,
};
const filterInput: Input = { name: "control_filter_list", type: "STRING", options: { default: "" }, optional: true, widget: true };

/** widgetsOf lists a node's widgets in the order of the file's widgets_values. */
export function widgetsOf(cls: Class, node: Node): Widget[] {
  const stored = node.widgets_values;
  const dropped = droppedEntries(cls, stored);
  const list: Widget[] = [];
  let at = 0;
  const add = (name: string, kind: Kind, label: string, input: Input) => {
    while (dropped.has(at)) at++;
    const key = name.split("\u0000").at(-1)!.replace(/^control$/, "control_after_generate");
    const place = isObj(stored) ? key : at;
    const v = isObj(stored) ? stored[key] : Array.isArray(stored) ? stored[at] : undefined;
    at++;
    const value = v === undefined || (v === null && kind === "combo") ? initial(input) : v;
    list.push({ name, kind, label, input, at: place, value });
    return value;
  };
  const walk = (inputs: Input[], prefix: string) => {
    for (const input of inputs) {
      const name = prefix + input.name;
      if (!input.widget) continue;
      const value = add(name, kindOf(input), label(input), input);
      const controls = controlOf(input);
      if (controls > 0) add(list.at(-1)!.name + "\u0000control", "control", "after queue", controlInput);
      if (controls > 1) add(name + "\u0000filter", "filter", "filter", filterInput);
      const chosen = input.keys?.find((k) => k.key === value);
      if (chosen) walk(chosen.inputs, name + ".");
    }
  };
  walk(cls.inputs, "");
  return list;
}

const label = (input: Input) => String(input.options.display_name ?? input.name);

/** droppedEntries are those of inputs that had a value before they were forced to be slots (section 3). */
function droppedEntries(cls: Class, stored: Json | undefined): Set<number> {
  const dropped = new Set<number>();
  if (!Array.isArray(stored)) return dropped;
  let count = 0;
  const forced: number[] = [];
  for (const input of cls.inputs) {
    const force = !input.widget && (input.options.forceInput === true || input.options.defaultInput === true) && kindOf(input) !== "raw";
    if (!input.widget && !force) continue;
    if (force) forced.push(count);
    count += 1 + controlOf(input);
  }
  if (forced.length > 0 && count === stored.length) forced.forEach((i) => dropped.add(i));
  return dropped;
}

/** defaults are the widgets_values of a new node. */
export function defaults(cls: Class): Json[] {
  const bare = { id: 0, type: cls.name } as Node;
  return widgetsOf(cls, bare).map((w) => (w.value === undefined ? null : w.value));
}

/** Slot is a connectable input, of the definition or of the file. */
export interface Slot {
  name: string;
  type: string;
  label: string;
  link: number | null;
  widget: boolean;
  optional: boolean;
  tooltip?: string;
}

/** slotsOf lists the inputs of a node: the definition's, then those that only the file knows. */
export function slotsOf(cls: Class | undefined, node: Node): Slot[] {
  const file = new Map((node.inputs ?? []).map((s) => [s.name, s]));
  const list: Slot[] = [];
  const add = (input: Input, name: string, widget: boolean) => {
    const own = file.get(name);
    file.delete(name);
    const type = widget && input.keys ? "COMBO" : input.type;
    list.push({
      name, type, label: own?.label ?? label(input), link: own?.link ?? null, widget, optional: input.optional,
      tooltip: input.options.tooltip as string | undefined,
    });
  };
  const grow = (input: Input, prefix: string) => {
    const { names, min, inputs } = input.grow!;
    let used = 0;
    names.forEach((n, i) => { if (file.get(`${prefix}${input.name}.${n}`)?.link != null) used = i + 1; });
    for (let i = 0; i < Math.min(Math.max(min, used + 1), names.length); i++) {
      for (const of of inputs) add({ ...of, options: { ...of.options, display_name: names[i] }, optional: i >= min }, `${prefix}${input.name}.${names[i]}`, false);
    }
  };
  const values = cls ? new Map(widgetsOf(cls, node).map((w) => [w.name, w.value])) : new Map();
  const walk = (inputs: Input[], prefix: string) => {
    for (const input of inputs) {
      if (input.grow) grow(input, prefix);
      else if (input.options.socketless !== true) add(input, prefix + input.name, input.widget);
      const chosen = input.keys?.find((k) => k.key === values.get(prefix + input.name));
      if (chosen) walk(chosen.inputs, prefix + input.name + ".");
    }
  };
  if (cls) walk(cls.inputs, "");
  for (const s of file.values()) {
    if (cls && s.link == null) continue; // left over from another version
    list.push({ name: s.name, type: String(s.type), label: s.label ?? s.name, link: s.link ?? null, widget: s.widget != null, optional: true });
  }
  return list;
}
