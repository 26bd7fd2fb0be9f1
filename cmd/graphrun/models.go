package main

import "github.com/spf13/cobra"

func modelsCommand() *cobra.Command { return &cobra.Command{Use: "models"} }
