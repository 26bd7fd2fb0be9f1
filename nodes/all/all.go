// Package all registers every node of the library. Import it for its effect.
package all

import (
	_ "graphrun/nodes/conditioning"
	_ "graphrun/nodes/expr"
	_ "graphrun/nodes/image"
	_ "graphrun/nodes/latent"
	_ "graphrun/nodes/loaders"
	_ "graphrun/nodes/logic"
	_ "graphrun/nodes/mask"
	_ "graphrun/nodes/sampling"
	_ "graphrun/nodes/sdnq"
	_ "graphrun/nodes/text"
)
