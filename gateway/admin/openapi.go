package admin

import (
	_ "embed" // the description
	"net/http"
	"sync"

	"github.com/goccy/go-yaml"
)

// openAPI describes the admin API; a test holds it and the handler together.
//
//go:embed openapi.yaml
var openAPI []byte

var openAPIJSON = sync.OnceValues(func() ([]byte, error) { return yaml.YAMLToJSON(openAPI) })

// OpenAPI gives the description of the admin API, as JSON. The caller must not change it.
func OpenAPI() ([]byte, error) { return openAPIJSON() }

func serveOpenAPI(c *call) {
	text, err := OpenAPI()
	if err != nil {
		writeProblem(c.w, problem(http.StatusInternalServerError, "internal", "Internal error", "The description could not be read."))
		return
	}
	c.w.Header().Set("Content-Type", "application/json")
	_, _ = c.w.Write(text)
}
