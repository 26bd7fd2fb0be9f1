package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func modelsCommand() *cobra.Command {
	c := &cobra.Command{Use: "models", Short: "Tell about models"}
	c.AddCommand(modelInfoCommand())
	return c
}

func modelInfoCommand() *cobra.Command {
	var f engineFlags
	var asJSON bool
	c := &cobra.Command{
		Use:     "info MODEL",
		Short:   "Tell a model's family, dtypes, size, memory and SDNQ settings, and what of it is supported",
		Long:    "Tell a model's family, dtypes, size, memory and SDNQ settings, and what of it is supported. MODEL is a folder, a repository on this\nmachine or a .safetensors file; nothing but headers and configs is read.",
		Example: "  graphrun models info graphrun/demo\n  graphrun models info sd15-int8.safetensors --json",
		Args:    usage(cobra.ExactArgs(1)),
		RunE: func(c *cobra.Command, args []string) error {
			e, err := f.open()
			if err != nil {
				return err
			}
			defer e.Close()
			info, err := e.models.Info(c.Context(), args[0])
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c.OutOrStdout(), info)
			}
			_, err = fmt.Fprint(c.OutOrStdout(), info)
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	f.add(c.Flags())
	return c
}
