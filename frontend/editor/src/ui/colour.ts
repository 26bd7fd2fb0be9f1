// Colours of sockets and links. The common types have one each that stays apart from its neighbours; others get a hue of
// their name.
const fixed: Record<string, string> = {
  MODEL: "#a78bda", CLIP: "#e6c229", VAE: "#e8696b", CONDITIONING: "#f0a04b", LATENT: "#e58ad6", IMAGE: "#5ba8ee", MASK: "#6fbf73",
  CONTROL_NET: "#4fd1a5", CLIP_VISION: "#8fd0d3", INT: "#4db6ac", FLOAT: "#9ccc65", STRING: "#b0a08f", BOOLEAN: "#c58f8f", COMBO: "#90a0b0",
  "*": "#9aa3ad", SAMPLER: "#d79a9a", SIGMAS: "#b5d99c", NOISE: "#a9a9b8", GUIDER: "#62cfe0",
};

export function typeColour(type: string): string {
  const one = (type || "*").split(",")[0].toUpperCase();
  if (fixed[one]) return fixed[one];
  let h = 0;
  for (const c of one) h = (h * 31 + c.charCodeAt(0)) % 360;
  return `hsl(${h} 45% 62%)`;
}
