// The parts of any kind of node: its outputs, widgets and slots.
import type { Node } from "../model/document";
import { slotsOf, widgetsOf, type Class, type Slot, type Widget } from "../model/schema";
import { promotedWidgets } from "../model/subgraph";
import { primitiveWidgets, rerouteSlots } from "../model/virtual";
import { canvas, useEditor } from "../store";

export interface Out { name: string; type: string; label: string; tooltip?: string }

/** outputsOf are a node's outputs: the definition's, in its order, and what more the file has. */
export function outputsOf(cls: Class | undefined, n: Node): Out[] {
  const file = n.outputs ?? [];
  const count = Math.max(cls?.outputs.length ?? 0, file.length);
  return Array.from({ length: count }, (_, i) => {
    const own = file[i], def = cls?.outputs[i];
    const type = def && def.type !== "*" ? def.type : String(own?.type ?? def?.type ?? "*");
    return { name: own?.name ?? def?.name ?? "", type, label: own?.label ?? def?.name ?? own?.name ?? "", tooltip: def?.tooltip };
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

export function slotList(n: Node): Slot[] {
  return n.type === "Reroute" ? rerouteSlots(n) : slotsOf(useEditor.getState().classes.get(n.type), n);
}
