// Headgate is an API gateway with a fan-out asynchronous dispatch plug-in.
package main

import (
	"os"

	"headgate/internal/cli"
)

func main() { os.Exit(cli.Run(os.Args[1:])) }
