package simulate

import (
	"fmt"
	"net/http"
)

const (
	iterableMaxUsers = 1000
	iterableMaxBytes = 4 << 20
)

// NewIterable makes a simulation of Iterable's POST /api/users/bulkUpdate: at most 1000 users
// and 4 MB. The answer names the users that were refused by the address or ID they came with.
func NewIterable(opts VendorOptions) *Backend {
	v := newVendor("iterable", opts, headerOf("Api-Key"), func(w http.ResponseWriter, status int, message string) {
		code := "BadParams"
		if status == http.StatusUnauthorized {
			code = "BadApiKey"
		}
		writeJSON(w, status, map[string]string{"code": code, "msg": message})
	})
	v.on("POST /api/users/bulkUpdate", iterableMaxBytes, func(w http.ResponseWriter, _ *http.Request, body []byte) {
		var in struct {
			Users []struct {
				Email  *string `json:"email"`
				UserID *string `json:"userId"`
			} `json:"users"`
		}
		if !v.read(w, body, &in) {
			return
		}
		if n := len(in.Users); n < 1 || n > iterableMaxUsers {
			v.refuse(w, http.StatusBadRequest, fmt.Sprintf("users must hold 1 to %d items, got %d", iterableMaxUsers, n))
			return
		}
		emails, ids := []string{}, []string{}
		for i, u := range in.Users {
			switch {
			case u.Email != nil:
				if !validEmail(*u.Email) {
					emails = append(emails, *u.Email)
				}
			case u.UserID == nil:
				v.refuse(w, http.StatusBadRequest, fmt.Sprintf("users[%d] has neither email nor userId", i))
				return
			case *u.UserID == "" || len(*u.UserID) > 52:
				ids = append(ids, *u.UserID)
			}
		}
		failed := len(emails) + len(ids)
		writeJSON(w, http.StatusOK, map[string]any{
			"successCount": len(in.Users) - failed, "failCount": failed, "invalidEmails": emails, "invalidUserIds": ids,
			"failedUpdates": map[string][]string{"invalidEmails": emails, "invalidUserIds": ids, "forgottenEmails": {}, "conflictEmails": {}},
		})
	})
	return v.backend()
}
