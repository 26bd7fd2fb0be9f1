// The parts of any kind of node: its outputs, widgets and slots.
import { definitionOf, type Definition, type Node } from "../model/document";
import { slotsOf, widgetsOf, type Class, type Slot, type Widget } from "../model/schema";
import { promotedWidgets } from "../model/subgraph";
import { primitiveWidgets, rerouteSlots } from "../model/virtual";
import { canvas, useEditor } from "../store";

export interface Out { name: string; type: string; label: string; tooltip?: string }

/** outputsOf are a node's outputs: the definition's, in its order, and what more the file has. */
export function outputsOf(cls: Class | undefined, n: Node): Out[] {
  const file = n.outputs ?? [];
  const defs = cls?.outputs ?? definitionOf(useEditor.getState().doc, n.type)?.outputs?.map((s) => ({ name: s.name, type: String(s.type), label: s.label, tooltip: undefined }));
  const count = Math.max(defs?.length ?? 0, file.length);
  return Array.from({ length: count }, (_, i) => {
    const own = file[i], def: { name: string; type: string; label?: string; tooltip?: string } | undefined = defs?.[i];
    const type = def && def.type !== "*" ? def.type : String(own?.type ?? def?.type ?? "*");
    return { name: own?.name ?? def?.name ?? "", type, label: own?.label ?? def?.label ?? def?.name ?? own?.name ?? "", tooltip: def?.tooltip };
  });
}

/** widgetList are the widgets of any kind of node. */
export function widgetList(n: Node): Widget[] {
  const s = useEditor.getState();
  const cls = s.classes.get(n.type);
  if (cls) return widgetsOf(cls, n);
  if (n.type === "PrimitiveNode") return primitiveWidgets(canvas(s), n, s.classes);
  return promotedWidgets(s.doc, n, s.classes);
}

/** slotList are the inputs of any kind of node. */
export function slotList(n: Node): Slot[] {
  if (n.type === "Reroute") return rerouteSlots(n);
  const { classes, doc } = useEditor.getState();
  const def = definitionOf(doc, n.type);
  return def && !classes.has(n.type) ? instanceSlots(def, n, new Set(widgetList(n).map((w) => w.name))) : slotsOf(classes.get(n.type), n);
}

/** instanceSlots are those of the definition, then what only the file has. */
function instanceSlots(def: Definition, n: Node, widgets: Set<string>): Slot[] {
  const file = new Map((n.inputs ?? []).map((s) => [s.name, s]));
  const list = (def.inputs ?? []).map((s): Slot => {
    const own = file.get(s.name);
    file.delete(s.name);
    return { name: s.name, type: String(s.type), label: own?.label ?? s.label ?? s.name, link: own?.link ?? null, widget: widgets.has(s.name), optional: false };
  });
  for (const s of file.values()) if (s.link != null) list.push({ name: s.name, type: String(s.type), label: s.label ?? s.name, link: s.link, widget: s.widget != null, optional: true });
  return list;
}
