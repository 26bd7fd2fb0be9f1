// Sizes of nodes in canvas units, as the style sheet draws them.
import { slotsOf, widgetsOf, type Class } from "./schema";
import type { Node } from "./document";

export const row = 24;

/** nodeSize is what a node needs at least for slots and widgets; its title, 30 high, comes on top as in ComfyUI. */
export function nodeSize(cls: Class | undefined, n: Node): [number, number] {
  if (!cls) return [220, 80];
  const widgets = widgetsOf(cls, n);
  const names = new Set(widgets.map((w) => w.name));
  const slots = slotsOf(cls, n).filter((s) => !names.has(s.name)).length;
  let high = 8 + Math.max(slots, cls.outputs.length) * row + 14;
  for (const w of widgets) high += w.input.options.multiline === true ? 92 : 32;
  if (cls.inputs.some((i) => i.options.image_upload)) high += 200;
  if (cls.output) high += 40;
  return [270, high];
}
