// Files dropped on the page or pasted into it: workflows open, other pictures become a LoadImage node.
import { useEffect, useState } from "react";
import { setWidget, updateNode } from "../model/document";
import { widgetsOf } from "../model/schema";
import { change, here, toast, useEditor } from "../store";
import { openCarried, openFile } from "../run";
import { isOwn } from "../server";
import { flowHandle } from "./Canvas";
import { nodeOf } from "./links";
import { place } from "./Palette";
import { uploadTo } from "./Widgets";

export function useDrop(): boolean {
  const [over, setOver] = useState(false);
  useEffect(() => {
    let depth = 0;
    const files = (e: DragEvent) => e.dataTransfer?.types.includes("Files") || e.dataTransfer?.types.includes("text/uri-list");
    const enter = (e: DragEvent) => { if (files(e) && ++depth === 1) setOver(true); };
    const leave = (e: DragEvent) => { if (files(e) && --depth <= 0) { depth = 0; setOver(false); } };
    const dragover = (e: DragEvent) => { if (files(e)) e.preventDefault(); };
    const end = () => { depth = 0; setOver(false); };
    const drop = (e: DragEvent) => {
      if (e.defaultPrevented) return;
      const { clientX, clientY } = e, f = e.dataTransfer?.files[0], address = e.dataTransfer?.getData("text/uri-list");
      if (!f && !address) return;
      e.preventDefault();
      if (address && isOwn(address)) { // a picture of this page, as from the history
        fetch(address).then(async (r) => take(new File([await r.blob()], new URL(address).searchParams.get("filename") ?? "picture", { type: r.headers.get("Content-Type") ?? "" }), clientX, clientY)).catch((e) => toast(String(e), true));
      } else if (f) take(f, clientX, clientY);
    };
    const paste = (e: ClipboardEvent) => {
      const f = e.clipboardData?.files[0];
      if (!f || e.defaultPrevented) return;
      e.preventDefault();
      intoNode(f, innerWidth / 2, innerHeight / 2);
    };
    addEventListener("dragenter", enter);
    addEventListener("dragleave", leave);
    addEventListener("dragover", dragover);
    addEventListener("drop", end, true);
    addEventListener("drop", drop);
    addEventListener("paste", paste);
    return () => {
      removeEventListener("dragenter", enter);
      removeEventListener("dragleave", leave);
      removeEventListener("dragover", dragover);
      removeEventListener("drop", end, true);
      removeEventListener("drop", drop);
      removeEventListener("paste", paste);
    };
  }, []);
  return over;
}

async function take(f: File, x: number, y: number) {
  if (!f.type.startsWith("image/")) { await openFile(f); return; }
  try {
    await openCarried(f, f.name.replace(/\.[^.]+$/, ""));
  } catch { // a picture without a workflow
    await intoNode(f, x, y);
  }
}

/** intoNode uploads a picture for the selected node that takes one, or for a new LoadImage node. */
async function intoNode(f: File, x: number, y: number) {
  if (!f.type.startsWith("image/")) return;
  const s = useEditor.getState();
  const takes = (id: string) => {
    const n = nodeOf(id);
    return n && s.classes.get(n.type)?.inputs.find((i) => i.options.image_upload);
  };
  let id = [...s.selected].find(takes);
  if (!id) {
    const cls = s.classes.get("LoadImage");
    if (!cls) return toast("This server has no LoadImage node", true);
    const at = flowHandle?.flow.screenToFlowPosition({ x, y }) ?? { x: 0, y: 0 };
    place("LoadImage", cls, [at.x, at.y]);
    id = [...useEditor.getState().selected][0];
  }
  const where = here();
  await uploadTo(f, (v) => change((d) => updateNode(d, where, nodeOf(id)!.id, (n) => {
    const list = widgetsOf(useEditor.getState().classes.get(n.type)!, n);
    const w = list.find((w) => w.input.options.image_upload);
    return w ? setWidget(n, w.at, v, list.map((w) => w.value)) : n;
  })));
}
