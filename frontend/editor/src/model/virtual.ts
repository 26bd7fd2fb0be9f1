// Nodes that only the editor knows.
import { linksOf, type Canvas, type Node } from "./document";
import { controlInput, controlOf, widgetsOf, type Classes, type Slot, type Widget } from "./schema";

/** primitiveWidgets are a PrimitiveNode's: those of the first widget that it feeds. */
export function primitiveWidgets(c: Canvas, n: Node, classes: Classes): Widget[] {
  const stored = Array.isArray(n.widgets_values) ? n.widgets_values : [];
  const links = linksOf(c);
  for (const id of n.outputs?.[0]?.links ?? []) {
    const target = c.nodes.find((t) => t.id === links.get(id)?.to);
    const slot = target?.inputs?.find((s) => s.link === id);
    const cls = target && classes.get(target.type);
    const w = slot && cls && widgetsOf(cls, target).find((w) => w.name === slot.name);
    if (!w) continue;
    const list: Widget[] = [{ ...w, name: "value", at: 0, value: stored[0] ?? w.value }];
    if (controlOf(w.input) || stored.length > 1) list.push({ name: "control", kind: "control", label: "after queue", input: controlInput, at: 1, value: stored[1] ?? "fixed" });
    return list;
  }
  return stored.length === 0 ? [] : [{ name: "value", kind: "raw", label: "value", at: 0, value: stored[0],
    input: { name: "value", type: "*", options: {}, optional: true, widget: true } }];
}

export const isNote = (n: Node) => n.type === "Note" || n.type === "MarkdownNote";

export const rerouteSlots = (n: Node): Slot[] => [{ name: "", type: "*", label: "", link: n.inputs?.[0]?.link ?? null, widget: false, optional: true }];
