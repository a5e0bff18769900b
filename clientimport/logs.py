"""One JSON object a line: what CloudWatch Logs Insights takes apart by itself."""

import json
import logging
from datetime import UTC, datetime

# What every record has; whatever else is on one was given as `extra`.
_ALWAYS_THERE = {*vars(logging.makeLogRecord({})), "message", "asctime"}


class JsonFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "level": record.levelname,
            "location": f"{record.funcName}:{record.lineno}",
            "message": record.getMessage(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "service": "client-import",
        }
        line |= {name: value for name, value in vars(record).items() if name not in _ALWAYS_THERE}
        if record.exc_info and record.exc_info[0]:
            line |= {
                "exception_name": record.exc_info[0].__name__,
                "exception": self.formatException(record.exc_info),
            }
        return json.dumps(line, default=str, ensure_ascii=False, separators=(",", ":"))
