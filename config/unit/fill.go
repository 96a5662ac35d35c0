package unit

import (
	"encoding/json"
	"strconv"
	"strings"

	"headgate/config/yamlsrc"
)

// Fill is how full something may get: a part of what it holds, written as 90%, or a
// number of bytes, written as 6GB.
type Fill struct {
	Percent int  // of what it holds; 0 when Size says it
	Size    Size // 0 when Percent says it
}

// Of gives the bound in bytes for something that holds max, where 0 is not known. The
// bound is 0, none, when it depends on what is not known.
func (f Fill) Of(max int64) int64 {
	if f.Percent == 0 {
		return int64(f.Size)
	}
	return max / 100 * int64(f.Percent)
}

// String writes the bound.
func (f Fill) String() string {
	if f.Percent > 0 {
		return strconv.Itoa(f.Percent) + "%"
	}
	return f.Size.String()
}

// MarshalJSON writes the bound as a string.
func (f Fill) MarshalJSON() ([]byte, error) { return json.Marshal(f.String()) }

// DecodeYAML implements yamlsrc.Decoder.
func (f *Fill) DecodeYAML(n *yamlsrc.Node, report *yamlsrc.Report) {
	if n.Kind == yamlsrc.Scalar {
		if number, ok := strings.CutSuffix(n.Text, "%"); ok {
			if percent, err := strconv.ParseUint(number, 10, 8); err == nil && percent >= 1 && percent <= 100 {
				*f = Fill{Percent: int(percent)}
				return
			}
		} else if size, err := ParseSize(n.Text); err == nil && size > 0 {
			*f = Fill{Size: size}
			return
		}
	}
	n.Wrong("a part such as 90% or a size such as 6GB", report)
}
