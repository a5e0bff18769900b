# AWS: needs credentials (`aws configure`) and nothing else. docs/deploy.md goes through it.
STAGE ?= staging
ZAPPA_STAGE ?= $(STAGE)_import

.PHONY: deploy destroy package test-deploy

deploy: $(INSTALLED) ## the whole platform on AWS: make deploy STAGE=production EMAIL=clients@example.com
	@$(BIN)/python -m infra.deploy $(STAGE) \
		$(if $(EMAIL),--email $(EMAIL)) $(if $(SENDER),--sender $(SENDER)) $(if $(BUCKET),--bucket $(BUCKET)) \
		$(if $(NO_IMPORT_FOR_HOURS),--no-import-for-hours $(NO_IMPORT_FOR_HOURS)) \
		$(if $(HIGH_AVAILABILITY),--high-availability $(HIGH_AVAILABILITY)) \
		$(if $(DATABASE_CLASS),--database-class $(DATABASE_CLASS)) \
		$(if $(DELETION_PROTECTION),--deletion-protection $(DELETION_PROTECTION))

destroy: $(INSTALLED) ## take it down again; says what it leaves
	@$(BIN)/python -m infra.deploy $(STAGE) --destroy

package: $(INSTALLED) ## the Lambda package alone, as build/package.zip; no account needed
	mkdir -p build
	VIRTUAL_ENV=$(CURDIR)/$(VENV) AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-us-east-1} \
		$(BIN)/python -m zappa.cli package $(ZAPPA_STAGE) --output build/package.zip

test-deploy: $(INSTALLED) ## deploys into a local AWS, and runs the package under AWS's runtime client
	$(BIN)/python -m pytest -m deploy $(ARGS)
