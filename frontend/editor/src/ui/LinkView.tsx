// A link with the bends on its way, and a bend.
import { BaseEdge, useStore, type EdgeProps, type NodeProps } from "@xyflow/react";
import { memo } from "react";
import { curve, type LinkData, type Point } from "./flow";

/** LinkView follows its bends while they are dragged. */
export const LinkView = memo(function LinkView({ sourceX, sourceY, targetX, targetY, style, data }: EdgeProps & { data: LinkData }) {
  const way = useStore((s) => data.bends.map((b): Point => {
    const p = s.nodeLookup.get("bend:" + b.id)?.position;
    return p ? { x: p.x + 7, y: p.y + 7 } : b;
  }), (a, b) => a.length === b.length && a.every((p, i) => p.x === b[i].x && p.y === b[i].y));
  return <BaseEdge path={curve([{ x: sourceX, y: sourceY }, ...way, { x: targetX, y: targetY }])} style={style} interactionWidth={14} />;
});

export const BendView = memo(function BendView({ data, selected }: NodeProps & { data: { colour: string } }) {
  return <div className={`bend ${selected ? "selected" : ""}`} role="img" aria-label="bend of a link" style={{ background: data.colour }} />;
});
