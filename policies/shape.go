package policies

// BodyShape is implemented by policies that know the fields of the bodies that they let pass.
type BodyShape interface {
	// Lacks says which name of a path into a body is not there; "[]" in a path stands for
	// any item of a list. ok is false when nothing speaks against the path.
	Lacks(path []string) (missing MissingField, ok bool)
}

// MissingField is a field that bodies do not have.
type MissingField struct {
	At    int      // its place in the path
	Known []string // the fields that are there, sorted
	Never bool     // a body with it is refused; otherwise it may be there, and nobody has said so
}
