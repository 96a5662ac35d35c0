package routes

import (
	"headgate/config/yamlsrc"
	"headgate/dispatch/target"
	"headgate/recipes"
)

// compileTarget compiles a target; nil when something is wrong with it. A recipe is expanded first:
// the plan is kept for workers as a target like any other. What is wrong within the recipe
// is told where it is named.
func compileTarget(d declared, o Options, report *yamlsrc.Report) *target.Plan {
	if d.node.Get("recipe") == nil {
		return target.Compile(d.name, d.node, o.Access, report)
	}
	recipe := recipes.Named(d.node, report)
	if recipe == nil {
		return nil
	}
	own := report.Fork()
	defer func() {
		own.Move(recipe.File, d.node.Get("recipe").Pos)
		report.Merge(own)
	}()
	node := recipe.Expand(d.node, own)
	if node == nil {
		return nil
	}
	return target.Compile(d.name, node, o.Access, own)
}
