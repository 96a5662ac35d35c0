# Secrets and addresses for trying things out by hand: . examples/quickstart/env.sh
export BACKENDS_URL=http://127.0.0.1:7070
export MOBILE_JWT_KEY=a-development-key-of-at-least-32-bytes
export CRM_TOKEN=crm-development-token
export NEWSLETTER_KEY=newsletter-development-key
export MARKETING_PASSWORD=marketing-development-password
export HEADGATE_ADMIN_TOKEN=admin-development-token
