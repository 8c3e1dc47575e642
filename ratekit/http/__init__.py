"""
HTTP without a framework: (policies, request) -> hits; (answers) -> verdict; header fields; problem bodies. Nothing in here waits.
"""
